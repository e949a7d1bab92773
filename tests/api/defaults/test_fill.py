"""The moves that all defaulting is made of."""

from __future__ import annotations

import pytest

from sampan.api.defaults.fill import entries, fill, fill_blank, section, twins
from sampan.api.objects import Obj


@pytest.mark.parametrize(
    ("before", "filled", "blank_filled"),
    [
        ({}, 5, 5),
        ({"x": None}, 5, 5),
        ({"x": 0}, 0, 5),
        ({"x": ""}, "", 5),
        ({"x": False}, False, 5),
        ({"x": 7}, 7, 7),
    ],
)
def test_what_is_set_stays_and_empty_counts_only_where_it_means_not_given(
    before: Obj, filled: object, blank_filled: object
) -> None:
    one, other = dict(before), dict(before)
    fill(one, "x", 5)
    fill_blank(other, "x", 5)
    assert (one["x"], other["x"]) == (filled, blank_filled)


def test_a_section_is_the_objects_own_whether_it_was_there_or_not() -> None:
    there: Obj = {"a": 1}
    obj: Obj = {"there": there, "null": None}
    assert section(obj, "there") is there
    for key in ("null", "missing"):
        section(obj, key)["x"] = 1
        assert obj[key] == {"x": 1}


def test_null_entries_of_a_list_are_passed_over() -> None:
    assert list(entries({"list": [{"a": 1}, None, {}]}, "list")) == [{"a": 1}, {}]
    assert list(entries({"list": None}, "list")) == list(entries({}, "list")) == []


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({}, {}),
        ({"a": 1}, {"a": 1, "b": 1}),
        ({"b": 2}, {"a": 2, "b": 2}),
        ({"a": 1, "b": 2}, {"a": 1, "b": 1}),
        ({"a": "", "b": 2}, {"a": 2, "b": 2}),
    ],
)
def test_of_two_names_of_one_field_the_main_one_wins(before: Obj, after: Obj) -> None:
    twins(before, "a", "b")
    assert before == after
