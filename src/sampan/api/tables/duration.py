"""How long ago, in the words of `kubectl get`: the shorter the time, the finer the unit.

Source: the AGE column as kubectl documents and prints it (apimachinery's `util/duration`).
"""

from __future__ import annotations

from functools import lru_cache

from sampan.api.clock import parse_time

UNKNOWN = "<unknown>"

_MINUTE, _HOUR, _DAY = 60, 3600, 86400
_YEAR = 365 * _DAY

# (below so many seconds, main unit, its letter, rest unit or 0 for none, its letter)
_STEPS = (
    (2 * _MINUTE, 1, "s", 0, ""),
    (10 * _MINUTE, _MINUTE, "m", 1, "s"),
    (3 * _HOUR, _MINUTE, "m", 0, ""),
    (8 * _HOUR, _HOUR, "h", _MINUTE, "m"),
    (2 * _DAY, _HOUR, "h", 0, ""),
    (8 * _DAY, _DAY, "d", _HOUR, "h"),
    (2 * _YEAR, _DAY, "d", 0, ""),
    (8 * _YEAR, _YEAR, "y", _DAY, "d"),
)


def human(seconds: float) -> str:
    """`45s`, `3m20s`, `90m`, `5h12m`, `30h`, `3d4h`, `100d`, `2y30d`, `9y`."""
    whole = int(seconds)  # towards zero: two clocks may differ by a second or two
    if whole < -1:
        return "<invalid>"
    if whole < 0:
        return "0s"
    for below, unit, letter, rest_unit, rest_letter in _STEPS:
        if whole < below:
            count, rest = divmod(whole, unit)
            if rest_unit and (rest := rest // rest_unit):
                return f"{count}{letter}{rest}{rest_letter}"
            return f"{count}{letter}"
    return f"{whole // _YEAR}y"


def since(moment: str | None, now: float) -> str:
    """The age of an RFC 3339 time; `<unknown>` for none."""
    if not moment:
        return UNKNOWN
    try:
        return human(now - _epoch(moment))
    except ValueError:
        return UNKNOWN


@lru_cache(maxsize=8192)
def _epoch(moment: str) -> float:
    return parse_time(moment)
