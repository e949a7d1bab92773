from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan.api import names
from sampan.api.validation import check

NUMBERS = st.none() | st.integers(-5, 70_000)
TEXTS = st.none() | st.text(max_size=5)


def said(errors: check.Errors) -> list[str]:
    return [error.text for error in errors]


COLOURS = ("red", "green")


@pytest.mark.parametrize(
    ("errors", "found"),
    [
        (check.needed("p", ""), ["p: Required value"]),
        (check.needed("p", 0, "why"), ["p: Required value: why"]),
        (check.needed("p", "x"), []),
        (check.needed_form("p", None, names.dns_label), ["p: Required value"]),
        (check.needed_form("p", "web", names.dns_label), []),
        (check.one_of("p", "", COLOURS), ["p: Required value"]),
        (
            check.one_of("p", "blue", COLOURS),
            ['p: Unsupported value: "blue": supported values: "red", "green"'],
        ),
        (check.one_of("p", "red", COLOURS), []),
        (check.one_of_if_set("p", "", COLOURS), []),
        (check.not_negative("p", -1), ["p: Invalid value: -1: must be greater than or equal to 0"]),
        (check.positive("p", 0), ["p: Invalid value: 0: must be greater than zero"]),
        (check.between("p", 101, 1, 100), ["p: Invalid value: 101: must be between 1 and 100, inclusive"]),
        (check.port("p", None), ["p: Invalid value: 0: must be between 1 and 65535, inclusive"]),
        (check.port_or_name("p", "http"), []),
        (check.unchanged("p", [], None), []),
        (check.unchanged("p", "b", "a"), ['p: Invalid value: "b": field is immutable']),
        (check.amount("p", "-1"), ['p: Invalid value: "-1": must be greater than or equal to 0']),
        (check.amount("p", "1Gi"), []),
    ],
)
def test_the_words_of_each_rule(errors: check.Errors, found: list[str]) -> None:
    assert said(errors) == found


def test_a_quantity_that_is_none_is_told_as_upstream_tells_it() -> None:
    (complaint,) = said(check.amount("p", "x"))
    assert complaint.startswith('p: Invalid value: "x": quantities must match the regular expression')


@given(NUMBERS, st.integers(1, 10), st.integers(1, 10))
def test_a_number_is_refused_just_when_it_is_out_of_range(number: int | None, low: int, more: int) -> None:
    high = low + more
    assert bool(said(check.between("p", number, low, high))) == (
        number is not None and not low <= number <= high
    )
    assert bool(said(check.not_negative("p", number))) == (number is not None and number < 0)
    assert bool(said(check.positive("p", number))) == (number is not None and number < 1)


@given(NUMBERS | TEXTS)
def test_a_port_is_a_number_of_sixteen_bits_or_a_name(value: Any) -> None:
    complaints = said(check.port_or_name("p", value))
    if isinstance(value, str):
        assert bool(complaints) == bool(names.port_name(value))
    else:
        assert bool(complaints) == (not 1 <= (value or 0) <= 65535)


@given(TEXTS | st.just([]) | st.just({}), TEXTS | st.just([]) | st.just({}))
def test_nothing_changes_into_nothing(new: Any, old: Any) -> None:
    assert bool(said(check.unchanged("p", new, old))) == ((new or None) != (old or None))


@pytest.mark.parametrize("holder", [None, {}, {"items": None}, {"items": []}])
def test_no_list_has_no_entries(holder: Any) -> None:
    assert check.dicts(holder, "items") == []


def test_entries_keep_their_index_also_beside_null() -> None:
    assert check.dicts({"items": [{"a": 1}, None]}, "items") == [(0, {"a": 1}), (1, {})]
