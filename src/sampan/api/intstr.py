"""Fields that hold a number or a percentage of one: `maxSurge: 1`, `maxSurge: 25%`."""

from __future__ import annotations

import re

_PERCENT = re.compile(r"([0-9]+)%").fullmatch


def resolve(value: int | str, total: int, round_up: bool) -> int:
    """`value` itself, or so many percent of `total`; raises ValueError when the text is no percentage."""
    if isinstance(value, int):
        return value
    share = percentage(value)
    if share is None:
        raise ValueError(f"invalid value for IntOrString: {value!r} is not a percentage")
    scaled = share * total
    return -(-scaled // 100) if round_up else scaled // 100


def percentage(value: int | str) -> int | None:
    """The number before the `%`, or None for anything but a percentage."""
    matched = _PERCENT(value) if isinstance(value, str) else None
    return int(matched[1]) if matched else None
