from __future__ import annotations

import pytest

from sampan.apiserver.deletion import MARK, NOTHING, REMOVE, Options, finished, plan

GOING = {"deletionTimestamp": "2026-01-01T00:00:30Z", "deletionGracePeriodSeconds": 30}


@pytest.mark.parametrize(
    ("metadata", "options", "grace", "held", "action"),
    [
        ({}, Options(), None, False, REMOVE),
        ({}, Options(), 0, False, REMOVE),
        ({}, Options(), 30, False, MARK),
        ({}, Options(), None, True, MARK),
        ({"finalizers": ["x"]}, Options(), 0, False, MARK),
        ({}, Options(policy="Foreground"), None, False, MARK),
        ({}, Options(policy="Background"), None, False, REMOVE),
        ({"finalizers": ["orphan"]}, Options(policy="Background"), None, False, REMOVE),
        ({}, Options(orphan_dependents=True), None, False, MARK),
        (GOING, Options(), 30, False, NOTHING),
        (GOING, Options(), 60, False, NOTHING),
        (GOING, Options(), 5, False, MARK),
        (GOING, Options(), 0, False, REMOVE),
        ({**GOING, "finalizers": ["x"]}, Options(), 0, False, MARK),
    ],
)
def test_what_a_delete_does(metadata, options: Options, grace, held: bool, action: str) -> None:
    obj = {"metadata": {"name": "a", **metadata}}
    assert plan(obj, options, grace, held=held, now=0.0).action == action
    assert obj == {"metadata": {"name": "a", **metadata}}


def test_an_object_is_gone_once_nothing_keeps_it() -> None:
    assert finished({"metadata": {"deletionTimestamp": "x"}}, held=False)
    assert not finished({"metadata": {"deletionTimestamp": "x"}}, held=True)
    assert not finished({"metadata": {"deletionTimestamp": "x", "finalizers": ["x"]}}, held=False)
    assert not finished({"metadata": GOING}, held=False)
    assert not finished({"metadata": {}}, held=False)
