"""Prometheus' text exposition format, version 0.0.4, and the few instruments that are kept for it. Pure.

families = [Family("up", "gauge", "Whether it is.", [Sample(1, {"node": "a"})])]
text(families)  # '# HELP up Whether it is.\n# TYPE up gauge\nup{node="a"} 1\n'
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)

_ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n"})


@dataclass(frozen=True, slots=True)
class Sample:
    """`suffix`: `_sum`, `_count`, `_bucket` of a histogram; `at_ms`: when it was true, if not now."""

    value: float
    labels: Mapping[str, str] = field(default_factory=dict)
    suffix: str = ""
    at_ms: int = 0


@dataclass(frozen=True, slots=True)
class Family:
    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    samples: Sequence[Sample]


class Histogram:
    """One observation costs a search among a dozen bounds and three additions."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float] = SECONDS) -> None:
        self.bounds, self.counts, self.total = bounds, [0] * (len(bounds) + 1), 0.0

    def observe(self, value: float, times: int = 1) -> None:
        self.counts[bisect_left(self.bounds, value)] += times
        self.total += value * times

    def samples(self, labels: Mapping[str, str] | None = None) -> list[Sample]:
        labels, found, count = labels or {}, [], 0
        for bound, number in zip((*map(_number, self.bounds), "+Inf"), self.counts, strict=True):
            count += number
            found.append(Sample(count, {**labels, "le": bound}, "_bucket"))
        return [*found, Sample(self.total, labels, "_sum"), Sample(count, labels, "_count")]


def text(families: Iterable[Family]) -> bytes:
    """Families without samples are left out."""
    lines: list[str] = []
    for family in families:
        if not family.samples:
            continue
        lines.append(f"# HELP {family.name} {family.help}")
        lines.append(f"# TYPE {family.name} {family.kind}")
        for sample in family.samples:
            labels = ",".join(f'{key}="{value.translate(_ESCAPES)}"' for key, value in sample.labels.items())
            at = f" {sample.at_ms}" if sample.at_ms else ""
            braces = f"{{{labels}}}" if labels else ""
            lines.append(f"{family.name}{sample.suffix}{braces} {_number(sample.value)}{at}")
    return ("\n".join(lines) + "\n").encode() if lines else b""


def _number(value: float) -> str:
    """Whole numbers without a point."""
    return str(int(value)) if value == int(value) else repr(float(value))
