"""When the node counts as short of something: thresholds on signals, as an operator writes them. Pure.

Source: concepts/scheduling-eviction/node-pressure-eviction, "Eviction signals and thresholds". Values are
quantities (`100Mi`) or percentages of what there is (`5%`); `0%` and `100%` switch a threshold off.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sampan.api.quantity import value

SIGNALS = (
    "memory.available",
    "nodefs.available",
    "nodefs.inodesFree",
    "imagefs.available",
    "imagefs.inodesFree",
    "pid.available",
)


@dataclass(frozen=True, slots=True)
class EvictionConfig:
    """`hard` ends Pods at once, `soft` after `soft_grace_s` of the same signal, with at most
    `max_pod_grace_s` for each; `minimum_reclaim` is got back beyond the threshold.

    The disk margins are smaller than upstream's and absolute, as they are of a disk that is not only ours.
    """

    hard: Mapping[str, str] = field(
        default_factory=lambda: {
            "memory.available": "100Mi",
            "nodefs.available": "500Mi",
            "nodefs.inodesFree": "1%",
            "imagefs.available": "500Mi",
            "imagefs.inodesFree": "1%",
        }
    )
    soft: Mapping[str, str] = field(default_factory=dict)
    soft_grace_s: Mapping[str, float] = field(default_factory=dict)
    minimum_reclaim: Mapping[str, str] = field(default_factory=dict)
    max_pod_grace_s: float = 0.0
    transition_s: float = 300.0
    """How long a condition of pressure stays after the last time it was seen."""
    period_s: float = 10.0


class ThresholdError(ValueError):
    """The operator wrote what is no threshold; the text says which."""


@dataclass(frozen=True, slots=True)
class Threshold:
    """Met while less than this of the signal is there. `percent` is of the signal's capacity."""

    signal: str
    amount: int = 0
    percent: float = 0.0
    grace_s: float = 0.0
    """0: hard."""
    minimum_reclaim: tuple[int, float] = (0, 0.0)
    """(amount, percent)"""

    def of(self, capacity: int) -> int:
        """Bytes, inodes or process ids."""
        return int(capacity * self.percent / 100) if self.percent else self.amount

    def reclaimed_at(self, capacity: int) -> int:
        """What has to be there for the threshold to be no longer met, once it was."""
        amount, percent = self.minimum_reclaim
        return self.of(capacity) + (int(capacity * percent / 100) if percent else amount)

    @property
    def text(self) -> str:
        """As events show it: `100Mi` is 104857600, percentages stay."""
        return f"{self.percent:g}%" if self.percent else str(self.amount)


def parse(
    values: Mapping[str, str],
    grace_s: Mapping[str, float] | None = None,
    minimum_reclaim: Mapping[str, str] | None = None,
) -> list[Threshold]:
    """Raises ThresholdError. `grace_s` makes soft thresholds, and must then name every signal."""
    found = []
    for signal, text in values.items():
        if signal not in SIGNALS:
            raise ThresholdError(f'unsupported eviction signal "{signal}"; known are {", ".join(SIGNALS)}')
        if grace_s is not None and signal not in grace_s:
            raise ThresholdError(f"grace period must be specified for the soft eviction threshold {signal}")
        amount, percent = _amount(signal, text)
        if not amount and not 0 < percent < 100:
            continue
        soft_s = grace_s[signal] if grace_s is not None else 0.0
        least = _amount(signal, (minimum_reclaim or {}).get(signal, "0"))
        found.append(Threshold(signal, amount, percent, soft_s, least))
    return found


def configured(config: EvictionConfig) -> list[Threshold]:
    """Hard ones first."""
    return [
        *parse(config.hard, None, config.minimum_reclaim),
        *parse(config.soft, config.soft_grace_s, config.minimum_reclaim),
    ]


def _amount(signal: str, text: str) -> tuple[int, float]:
    try:
        if text.endswith("%"):
            percent = float(text.removesuffix("%"))
            if not 0 <= percent <= 100:
                raise ThresholdError(f"eviction threshold {signal}: {text} is not between 0% and 100%")
            return 0, percent
        found = value(text)
    except ThresholdError:
        raise
    except ValueError as error:
        raise ThresholdError(f"eviction threshold {signal}: {text} is no quantity: {error}") from error
    if found < 0:
        raise ThresholdError(f"eviction threshold {signal}: {text} must be positive")
    return found, 0.0
