from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan.api import selectors
from sampan.api.objects import Obj
from sampan.api.validation import labels
from sampan.api.validation.check import Errors

KEY_FORM = "name part must consist of alphanumeric characters"


def said(errors: Errors) -> list[str]:
    return [error.text for error in errors]


def test_labels_have_keys_and_values_of_their_form() -> None:
    assert said(labels.label_map("l", {"app": "web", "example.com/tier": "", "a.b_c-d": "1"})) == []
    assert said(labels.label_map("l", None)) == []
    (key,) = said(labels.label_map("l", {"-app": "web"}))
    assert key.startswith('l: Invalid value: "-app"') and KEY_FORM in key
    (value,) = said(labels.label_map("l", {"app": "a b"}))
    assert value.startswith('l: Invalid value: "a b": a valid label must be an empty string or consist of')


def test_annotations_may_hold_anything_but_not_much_of_it() -> None:
    limit = labels.ANNOTATIONS_SIZE
    assert said(labels.annotation_map("a", {"Example.COM/x": "any\nthing", "k": "v" * (limit - 100)})) == []
    assert said(labels.annotation_map("a", {"k": "v" * limit})) == [
        f"a: Too long: may not be more than {limit} bytes"
    ]
    assert said(labels.annotation_map("a", {"a b": ""}))[0].startswith('a: Invalid value: "a b"')


def expression(operator: str = "", values: list[str] | None = None, key: str = "app") -> Obj:
    return {"matchExpressions": [{"key": key, "operator": operator, "values": values}]}


NEEDS = "must be specified when `operator` is 'In' or 'NotIn'"
FORBIDS = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"


@pytest.mark.parametrize(
    ("selector", "found"),
    [
        (None, []),
        ({}, []),
        ({"matchLabels": {"app": "web"}}, []),
        (expression("In", ["a", "b"]), []),
        (expression("Exists"), []),
        (expression("In"), [f"s.matchExpressions[0].values: Required value: {NEEDS}"]),
        (expression("Exists", ["a"]), [f"s.matchExpressions[0].values: Forbidden: {FORBIDS}"]),
        (
            expression("Gt", ["1"]),
            ['s.matchExpressions[0].operator: Invalid value: "Gt": not a valid selector operator'],
        ),
    ],
)
def test_the_rules_of_a_selector(selector: Obj | None, found: list[str]) -> None:
    assert said(labels.selector("s", selector)) == found


def test_a_workloads_selector_must_say_something() -> None:
    assert said(labels.needed_selector("s", None, "deployment")) == ["s: Required value"]
    assert said(labels.needed_selector("s", {}, "deployment")) == [
        "s: Invalid value: {}: empty selector is invalid for deployment"
    ]
    assert said(labels.needed_selector("s", {"matchLabels": {"a": "b"}}, "deployment")) == []


WORDS = st.sampled_from(["a", "b", "c"])
SELECTORS = st.builds(
    lambda pairs, key, operator, values: {
        "matchLabels": pairs,
        "matchExpressions": [
            {"key": key, "operator": operator, "values": values if "In" in operator else []}
        ],
    },
    st.dictionaries(WORDS, WORDS, max_size=2),
    WORDS,
    st.sampled_from(["In", "NotIn", "Exists", "DoesNotExist"]),
    st.lists(WORDS, min_size=1, max_size=2),
)


@given(SELECTORS, st.dictionaries(WORDS, WORDS))
def test_a_template_is_refused_just_when_its_selector_would_miss_it(
    selector: Obj, found: dict[str, str]
) -> None:
    assert said(labels.selector("s", selector)) == []
    template: Obj = {"metadata": {"labels": found}}
    missed = not selectors.label_selector_from(selector).matches(found)
    assert bool(labels.matches_template("t", selector, template)) == missed


def test_a_selector_that_is_wrong_itself_is_said_once() -> None:
    wrong: Any = expression("Gt", ["1"])
    assert labels.matches_template("t", wrong, {}) == []
