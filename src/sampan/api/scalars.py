"""Scalars that are more than their JSON type: base64 bytes, times, quantities, int-or-string.

Each reader takes a JSON value and answers the text (or number) that upstream would store for it, or raises
ValueError with the sentence that upstream's decoder says. `WrongType` says that the JSON type itself is
wrong.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

from sampan.api import quantity

INT32 = range(-(2**31), 2**31)
INT64 = range(-(2**63), 2**63)


class WrongType(ValueError):
    """The value has a JSON type that cannot be read at all; `wanted` is the Go type the decoder names."""

    def __init__(self, wanted: str) -> None:
        super().__init__(wanted)
        self.wanted = wanted


def read_quantity(value: Any) -> str:
    """The canonical text: `0.5` is stored as `500m`, a bare number as its text."""
    return quantity.canonical(value)


def read_int_or_string(value: Any) -> int | str:
    if isinstance(value, str):
        return value
    if type(value) is int and value in INT32:
        return value
    raise WrongType("int32")


def read_double(value: Any) -> float | int:
    if type(value) is int or type(value) is float:
        return value
    raise WrongType("float64")


def read_int32(value: Any) -> int:
    if type(value) is int and value in INT32:
        return value
    raise WrongType("int32")


def read_int64(value: Any) -> int:
    if type(value) is int and value in INT64:
        return value
    raise WrongType("int64")


# --- bytes ---

_BASE64 = re.compile(r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?").fullmatch
_BASE64_ALPHABET = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")


def read_bytes(value: Any) -> str:
    """Base64 with padding; line breaks within are allowed and dropped."""
    if not isinstance(value, str):
        raise WrongType("[]uint8")
    if _BASE64(value):
        return value
    if (position := _corrupt_at(value)) is not None:
        raise ValueError(f"illegal base64 data at input byte {position}")
    return value.replace("\r", "").replace("\n", "")


def _corrupt_at(text: str) -> int | None:
    """Where Go's decoder gives up: the bad character, or the start of a quantum that does not end."""
    position = filled = 0
    while position < len(text):
        character = text[position]
        position += 1
        if character in _BASE64_ALPHABET:
            filled = (filled + 1) % 4
        elif character == "=":
            return _corrupt_padding(text, position, filled)
        elif character not in "\r\n":
            return position - 1
    return position - filled if filled else None


def _corrupt_padding(text: str, position: int, filled: int) -> int | None:
    """`position` is just after the first `=`, `filled` the number of characters in its quantum."""
    if filled < 2:
        return position - 1
    position = _skip_breaks(text, position)
    if filled == 2:
        if position == len(text):
            return position
        if text[position] != "=":
            return position - 1
        position = _skip_breaks(text, position + 1)
    return position if position < len(text) else None


def _skip_breaks(text: str, position: int) -> int:
    while position < len(text) and text[position] in "\r\n":
        position += 1
    return position


# --- times ---

_LAYOUT = "2006-01-02T15:04:05Z07:00"
_MICRO_LAYOUT = "2006-01-02T15:04:05.000000Z07:00"
_WHOLE_UTC = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", re.ASCII).fullmatch
_PARTS = [
    ("2006", re.compile(r"\d{4}", re.ASCII)),
    ("-", re.compile("-")),
    ("01", re.compile(r"\d\d", re.ASCII)),
    ("-", re.compile("-")),
    ("02", re.compile(r"\d\d", re.ASCII)),
    ("T", re.compile("T")),
    ("15", re.compile(r"\d\d?", re.ASCII)),
    (":", re.compile(":")),
    ("04", re.compile(r"\d\d", re.ASCII)),
    (":", re.compile(":")),
    ("05", re.compile(r"\d\d(?:[.,]\d+)?", re.ASCII)),
    ("Z07:00", re.compile(r"Z|[+-]\d\d:\d\d", re.ASCII)),
]
_RANGES = (("month", "01", 1, 12), ("hour", "15", 0, 23), ("minute", "04", 0, 59), ("second", "05", 0, 59))


def read_time(value: Any) -> str:
    """RFC 3339, stored in UTC and whole seconds."""
    if not isinstance(value, str):
        raise WrongType("string")
    moment = _moment(value, _LAYOUT)
    return value if _WHOLE_UTC(value) else _date(moment) + "Z"


def read_micro_time(value: Any) -> str:
    """RFC 3339, stored in UTC and microseconds."""
    if not isinstance(value, str):
        raise WrongType("string")
    moment = _moment(value, _MICRO_LAYOUT)
    return f"{_date(moment)}.{moment.microsecond:06d}Z"


def _date(moment: datetime) -> str:
    return moment.replace(tzinfo=None, microsecond=0).isoformat()


def _moment(text: str, layout: str) -> datetime:
    found: dict[str, str] = {}
    position = 0
    for element, pattern in _PARTS:
        match = pattern.match(text, position)
        if match is None:
            raise ValueError(
                f'parsing time "{text}" as "{layout}": cannot parse "{text[position:]}" as "{element}"'
            )
        found[element] = match[0]
        position = match.end()
    if position < len(text):
        raise ValueError(f'parsing time "{text}": extra text: "{text[position:]}"')
    for name, element, low, high in _RANGES:
        if not low <= int(found[element][:2]) <= high:
            raise ValueError(f'parsing time "{text}": {name} out of range')
    seconds, _, fraction = found["05"].replace(",", ".").partition(".")
    zone = found["Z07:00"].replace("Z", "+00:00")
    try:
        return datetime.fromisoformat(
            f"{found['2006']}-{found['01']}-{found['02']}T{int(found['15']):02d}:{found['04']}:{seconds}"
            f".{fraction[:6]:0<6}{zone}"
        ).astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError(f'parsing time "{text}": day out of range') from None
