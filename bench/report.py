"""How figures are kept and shown: a table for people, one JSON line for programs."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass
class Report:
    rows: list[tuple[str, str, str]] = field(default_factory=list)
    figures: dict[str, float] = field(default_factory=dict)

    def add(self, name: str, value: float, unit: str, goal: str = "") -> None:
        self.figures[name] = round(value, 4)
        self.rows.append((name, f"{value:,.3g} {unit}" if value < 1000 else f"{value:,.0f} {unit}", goal))
        print(f"{name:<44} {self.rows[-1][1]:>16}   {goal}", flush=True)

    def spread(self, name: str, values_ms: Sequence[float], goal: str = "") -> None:
        """p50 and p99 of a series, in milliseconds."""
        self.add(f"{name}, p50", statistics.median(values_ms), "ms", goal)
        self.add(f"{name}, p99", percentile(values_ms, 99), "ms", goal)

    def line(self) -> str:
        return json.dumps(self.figures)


def percentile(values: Sequence[float], percent: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, round(len(ordered) * percent / 100))]
