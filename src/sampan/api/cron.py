"""Whether a text is a schedule: five fields, a `@name` or `@every 90s`, read as upstream's parser reads it.

A field is a list of ranges with a step, over the numbers (or names) that it may hold; `*` and `?` are all.
What is wrong is said in that parser's sentences.
"""

from __future__ import annotations

import re

NAMED = frozenset(("@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"))

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")

# Each field's least and greatest number, and its names.
_FIELDS: tuple[tuple[int, int, dict[str, int]], ...] = (
    (0, 59, {}),
    (0, 23, {}),
    (1, 31, {}),
    (1, 12, {name: number for number, name in enumerate(_MONTHS, 1)}),
    (0, 6, {name: number for number, name in enumerate(_DAYS)}),
)

_AMOUNT = r"(\d+(\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h)"
_DURATION = rf"[-+]?({_AMOUNT})+"  # compiled by the first `@every`, not by every process


class BadSchedule(ValueError):
    """No schedule; the text is upstream's."""


def check(text: str) -> None:
    """Raises BadSchedule."""
    if not text:
        raise BadSchedule("empty spec string")
    if text.startswith("@"):
        _check_named(text)
        return
    fields = text.split()
    if len(fields) != len(_FIELDS):
        raise BadSchedule(f"expected exactly 5 fields, found {len(fields)}: [{' '.join(fields)}]")
    for field, (least, most, names) in zip(fields, _FIELDS, strict=True):
        for part in filter(None, field.split(",")):
            _check_range(part, least, most, names)


def _check_named(text: str) -> None:
    if text in NAMED:
        return
    _, every, duration = text.partition("@every ")
    if not every:
        raise BadSchedule(f"unrecognized descriptor: {text}")
    if duration != "0" and not re.fullmatch(_DURATION, duration):
        raise BadSchedule(f'failed to parse duration {text}: time: invalid duration "{duration}"')


def _check_range(text: str, least: int, most: int, names: dict[str, int]) -> None:
    span, *steps = text.split("/")
    bounds = span.split("-")
    everything = bounds[0] in ("*", "?")
    if everything:
        start, end = least, most
    else:
        start = _number(bounds[0], names)
        if len(bounds) > 2:
            raise BadSchedule(f"too many hyphens: {text}")
        end = _number(bounds[1], names) if len(bounds) == 2 else start
    if len(steps) > 1:
        raise BadSchedule(f"too many slashes: {text}")
    step = _number(steps[0], {}) if steps else 1
    if steps and not everything and len(bounds) == 1:
        end = most  # "5/15" goes on to the end
    if start < least:
        raise BadSchedule(f"beginning of range ({start}) below minimum ({least}): {text}")
    if end > most:
        raise BadSchedule(f"end of range ({end}) above maximum ({most}): {text}")
    if start > end:
        raise BadSchedule(f"beginning of range ({start}) beyond end of range ({end}): {text}")
    if step == 0:
        raise BadSchedule(f"step of range should be a positive number: {text}")


def _number(text: str, names: dict[str, int]) -> int:
    if (named := names.get(text.lower())) is not None:
        return named
    if not re.fullmatch(r"[-+]?[0-9]+", text):
        raise BadSchedule(f'failed to parse int from {text}: strconv.Atoi: parsing "{text}": invalid syntax')
    if (number := int(text)) < 0:
        raise BadSchedule(f"negative number ({number}) not allowed: {text}")
    return number
