from __future__ import annotations

import pytest

from sampan.api.apparmor import PREFIX, move, profile, wrong
from sampan.api.objects import Obj


def pod(value: str, **context: Obj) -> Obj:
    container = {"name": "c", "securityContext": context} if context else {"name": "c"}
    annotations = {PREFIX + "c": value, "other": "x"}
    return {"metadata": {"annotations": annotations}, "spec": {"containers": [container, {"name": "d"}]}}


@pytest.mark.parametrize(
    ("value", "field"),
    [
        ("runtime/default", {"type": "RuntimeDefault"}),
        ("unconfined", {"type": "Unconfined"}),
        ("localhost/mine", {"type": "Localhost", "localhostProfile": "mine"}),
        ("localhost/", None),
        ("", None),
        ("mine", None),
    ],
)
def test_values(value, field) -> None:
    assert profile(value) == field


def test_the_field_is_filled_in() -> None:
    made = pod("localhost/mine")
    move(made)
    first, second = made["spec"]["containers"]
    assert first["securityContext"]["appArmorProfile"]["localhostProfile"] == "mine"
    assert "securityContext" not in second


def test_a_field_that_is_there_stays() -> None:
    made = pod("unconfined", appArmorProfile={"type": "RuntimeDefault"})
    move(made)
    assert made["spec"]["containers"][0]["securityContext"]["appArmorProfile"] == {"type": "RuntimeDefault"}


@pytest.mark.parametrize(
    ("made", "found"),
    [
        (pod("runtime/default"), []),
        (pod(""), []),
        (
            pod("mine"),
            [
                f'metadata.annotations[{PREFIX}c]: Invalid value: "mine": '
                'invalid AppArmor profile name: "mine"'
            ],
        ),
        (
            {"metadata": {"annotations": {PREFIX + "x": "unconfined"}}, "spec": {"containers": []}},
            [f'metadata.annotations[{PREFIX}x]: Invalid value: "x": container not found'],
        ),
    ],
)
def test_what_is_wrong(made, found) -> None:
    assert [error.text for error in wrong(made)] == found
