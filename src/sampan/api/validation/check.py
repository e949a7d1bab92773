"""The small rules that larger ones are made of. Each yields what is wrong and nothing when all is well."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import Any, TypeAlias

from sampan.api import names, quantity
from sampan.api.errors import FieldError, invalid_value, required, show

Errors: TypeAlias = Iterator[FieldError]
Form: TypeAlias = Callable[[str], list[str]]

IMMUTABLE = "field is immutable"
NOT_NEGATIVE = "must be greater than or equal to 0"
POSITIVE = "must be greater than zero"


def complain(path: str, value: Any, complaints: list[str]) -> Errors:
    """One Invalid for each sentence."""
    for sentence in complaints:
        yield invalid_value(path, value, sentence)


def form(path: str, text: str, check: Form) -> Errors:
    return complain(path, text, check(text))


def needed_form(path: str, text: str | None, check: Form, detail: str = "") -> Errors:
    """A text that must be there and of the form."""
    if not text:
        yield required(path, detail)
    else:
        yield from complain(path, text, check(text))


def needed(path: str, value: Any, detail: str = "") -> Errors:
    if not value:
        yield required(path, detail)


def unsupported(path: str, value: Any, supported: Collection[str]) -> FieldError:
    """The choices stand in the given order, which is upstream's and not always the alphabet's."""
    listed = ", ".join(f'"{choice}"' for choice in supported)
    return FieldError(
        path, "FieldValueNotSupported", f"Unsupported value: {show(value)}: supported values: {listed}"
    )


def one_of(path: str, value: Any, supported: Collection[str]) -> Errors:
    """A choice that must be made; the empty one is Required, as upstream tells it."""
    if not value:
        yield required(path)
    elif value not in supported:
        yield unsupported(path, value, supported)


def one_of_if_set(path: str, value: Any, supported: Collection[str]) -> Errors:
    if value and value not in supported:
        yield unsupported(path, value, supported)


def not_negative(path: str, number: int | None) -> Errors:
    if number is not None and number < 0:
        yield invalid_value(path, number, NOT_NEGATIVE)


def positive(path: str, number: int | None) -> Errors:
    if number is not None and number <= 0:
        yield invalid_value(path, number, POSITIVE)


def between(path: str, number: int | None, low: int, high: int) -> Errors:
    if number is not None and not low <= number <= high:
        yield invalid_value(path, number, f"must be between {low} and {high}, inclusive")


def port(path: str, number: int | None) -> Errors:
    """A port that must be there."""
    return complain(path, number or 0, names.port_number(number or 0))


def port_or_name(path: str, value: int | str | None) -> Errors:
    if isinstance(value, str):
        yield from form(path, value, names.port_name)
    else:
        yield from port(path, value)


def unchanged(path: str, new: Any, old: Any) -> Errors:
    """Immutable; missing, null and empty are the same."""
    if (new or None) != (old or None):
        yield invalid_value(path, new, IMMUTABLE)


def amount(path: str, text: Any) -> Errors:
    """A quantity that is not negative."""
    try:
        found = quantity.quantity(text)
    except ValueError as error:
        yield invalid_value(path, text, str(error))
        return
    if found.nano < 0:
        yield invalid_value(path, str(found), NOT_NEGATIVE)


def dicts(holder: dict[str, Any] | None, key: str) -> list[tuple[int, dict[str, Any]]]:
    """(index, entry) of a list of objects; entries that are null count as empty ones."""
    return [(index, entry or {}) for index, entry in enumerate((holder or {}).get(key) or ())]
