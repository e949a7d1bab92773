"""Resource quantities: `100m`, `1.5Gi`, `1e3`.

A quantity is an exact number of billionths (finer parts are rounded away from zero, amounts beyond 2^63-1 are
cut down to it) and the family of suffixes it was written in, which its canonical text keeps:
the mantissa is whole and the exponent the largest that allows it.
Source: API conventions "units" and the doc comment of apimachinery's `resource.Quantity`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from fractions import Fraction
from functools import lru_cache
from typing import Any

FORM = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"

_NANO = 10**9
_MAX = (2**63 - 1) * _NANO
_PARTS = re.compile(r"([+-]?)([0-9]*)(?:\.([0-9]*))?(.*)", re.DOTALL).fullmatch
_EXPONENT = re.compile(r"[eE]([+-]?[0-9]+)").fullmatch
# More digits than this say nothing any more: the amount is cut to 2^63-1 or rounded to one billionth.
_MAX_EXPONENT = 64
_MAX_TEXT = 256

_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY = {"Ki": 1, "Mi": 2, "Gi": 3, "Ti": 4, "Pi": 5, "Ei": 6}
_DECIMAL_SUFFIX = {exponent: suffix for suffix, exponent in _DECIMAL.items()}
_BINARY_SUFFIX = {0: "", **{exponent: suffix for suffix, exponent in _BINARY.items()}}


class Suffixes(Enum):
    DECIMAL = "DecimalSI"
    BINARY = "BinarySI"
    EXPONENT = "DecimalExponent"


@dataclass(frozen=True, slots=True)
class Quantity:
    """`nano`: billionths. Compared and added by amount; a sum is written in the family of its left side."""

    nano: int
    suffixes: Suffixes = Suffixes.DECIMAL

    def __str__(self) -> str:
        return _write(self.nano, self.suffixes)

    def __lt__(self, other: Quantity) -> bool:
        return self.nano < other.nano

    def __le__(self, other: Quantity) -> bool:
        return self.nano <= other.nano

    def __gt__(self, other: Quantity) -> bool:
        return self.nano > other.nano

    def __ge__(self, other: Quantity) -> bool:
        return self.nano >= other.nano

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Quantity) and self.nano == other.nano

    def __hash__(self) -> int:
        return hash(self.nano)

    def __add__(self, other: Quantity) -> Quantity:
        # An empty sum has no family of its own.
        return Quantity(self.nano + other.nano, self.suffixes if self.nano else other.suffixes)

    def __sub__(self, other: Quantity) -> Quantity:
        return Quantity(self.nano - other.nano, self.suffixes if self.nano else other.suffixes)


def quantity(text: Any) -> Quantity:
    """A quantity from its text, or from a JSON number; raises ValueError with upstream's sentence."""
    if isinstance(text, str):
        return _read(text)
    if isinstance(text, int | float) and not isinstance(text, bool):
        return _read(repr(text))
    raise ValueError(FORM)


def parse(text: Any) -> Fraction:
    """The exact amount; raises ValueError."""
    return Fraction(quantity(text).nano, _NANO)


def milli(text: Any) -> int:
    """Thousandths, rounded up: what CPU is counted in; raises ValueError."""
    return -(-quantity(text).nano // 10**6)


def value(text: Any) -> int:
    """Whole units, rounded up: bytes, counts; raises ValueError."""
    return -(-quantity(text).nano // _NANO)


def canonical(text: Any) -> str:
    """The text upstream stores for it: `1000m` -> `1`, `0.5Gi` -> `512Mi`; raises ValueError."""
    return str(quantity(text))


def total(texts: Iterable[Any]) -> Quantity:
    """The sum; `0` of nothing."""
    result = Quantity(0)
    for text in texts:
        result += quantity(text)
    return result


@lru_cache(maxsize=4096)
def _read(text: str) -> Quantity:
    parts = _PARTS(text)
    if parts is None or len(text) > _MAX_TEXT:
        raise ValueError(FORM)
    sign, whole, fraction, suffix = parts.groups()
    if not whole and not fraction:
        raise ValueError(FORM)
    fraction = fraction or ""
    digits = int(whole + fraction)
    numerator, denominator, suffixes = _scale(suffix)
    numerator *= digits * _NANO
    denominator *= 10 ** len(fraction)
    nano = min(-(-numerator // denominator), _MAX)
    # Below one, a binary suffix would have to lie: 0.5Ki is 512, but 0.0001Ki is 102400u.
    if suffixes is Suffixes.BINARY and nano < _NANO:
        suffixes = Suffixes.DECIMAL
    return Quantity(-nano if sign == "-" else nano, suffixes)


def _scale(suffix: str) -> tuple[int, int, Suffixes]:
    """(numerator, denominator, family) of what a suffix multiplies by."""
    if suffix in _BINARY:
        return 1024 ** _BINARY[suffix], 1, Suffixes.BINARY
    if suffix in _DECIMAL:
        return *_power_of_ten(_DECIMAL[suffix]), Suffixes.DECIMAL
    if exponent := _EXPONENT(suffix):
        return *_power_of_ten(int(exponent[1])), Suffixes.EXPONENT
    if re.fullmatch(r"[eEinumkKMGTP]*[-+]?[0-9]*", suffix):
        raise ValueError("unable to parse quantity's suffix")
    raise ValueError(FORM)


def _power_of_ten(exponent: int) -> tuple[int, int]:
    exponent = max(-_MAX_EXPONENT - _MAX_TEXT, min(exponent, _MAX_EXPONENT + _MAX_TEXT))
    return (10**exponent, 1) if exponent >= 0 else (1, 10**-exponent)


@lru_cache(maxsize=4096)
def _write(nano: int, suffixes: Suffixes) -> str:
    if nano == 0:
        return "0"
    units, rest = divmod(nano, _NANO)
    if suffixes is Suffixes.BINARY and rest == 0 and abs(units) >= 1024:
        exponent = 0
        while units % 1024 == 0 and exponent < len(_BINARY):
            units //= 1024
            exponent += 1
        return f"{units}{_BINARY_SUFFIX[exponent]}"
    exponent = -9
    while nano % 1000 == 0 and exponent < 18:
        nano //= 1000
        exponent += 3
    if suffixes is Suffixes.EXPONENT:
        return f"{nano}e{exponent}" if exponent else str(nano)
    return f"{nano}{_DECIMAL_SUFFIX[exponent]}"
