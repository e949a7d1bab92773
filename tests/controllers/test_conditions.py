"""A list of conditions has one entry a type, and times of transitions that mean something."""

from __future__ import annotations

import pytest

from sampan.api.objects import Obj, mutable
from sampan.controllers.conditions import find, with_condition, without


def condition(kind: str, status: str, at: str = "", reason: str = "") -> Obj:
    return {"type": kind, "status": status, "reason": reason} | ({"lastTransitionTime": at} if at else {})


READY = condition("Ready", "True", "t1", "Fine")
OTHER = condition("Other", "False", "t1")


@pytest.mark.parametrize(
    ("new", "at"),
    [
        (condition("Ready", "True", "t2", "Finer"), "t1"),
        (condition("Ready", "False", "t2", "Broken"), "t2"),
        (condition("Ready", "Unknown", "t2", "Silent"), "t2"),
    ],
)
def test_the_time_of_transition_moves_with_the_status_only(new: Obj, at: str) -> None:
    present = [READY, OTHER]
    before = mutable({"list": present})["list"]
    found = with_condition(present, new)
    assert found == [{**new, "lastTransitionTime": at}, OTHER]
    assert present == before


def test_an_old_entry_without_a_time_gets_the_new_one() -> None:
    assert with_condition([condition("Ready", "True")], condition("Ready", "True", "t2")) == [
        condition("Ready", "True", "t2")
    ]


def test_a_type_that_is_new_comes_last() -> None:
    assert with_condition([OTHER], READY) == [OTHER, READY]
    assert with_condition([], READY) == [READY]


def test_finding_and_leaving_out() -> None:
    assert find([OTHER, READY], "Ready") is READY
    assert find([OTHER], "Ready") is None
    assert without([OTHER, READY], "Ready") == [OTHER]
    assert without([OTHER], "Ready") == [OTHER]
