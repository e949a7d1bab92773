"""How many Pods of a budget may go."""

from __future__ import annotations

from typing import Any

import pytest

from sampan.api.clock import format_time
from sampan.api.objects import Obj
from sampan.controllers.disruption.plan import (
    Expected,
    Uncountable,
    confirmed,
    expected,
    failed_status,
    status,
)

NOW_S = 1_800_000_000.0
OWNER = {"kind": "ReplicaSet", "apiVersion": "apps/v1", "name": "r", "uid": "r", "controller": True}


def pod(name: str, *, ready: bool = True, going: bool = False, owner: Obj | None = OWNER) -> Obj:
    metadata: Obj = {"name": name, "namespace": "default"}
    if owner:
        metadata["ownerReferences"] = [owner]
    if going:
        metadata["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    conditions = [{"type": "Ready", "status": "True" if ready else "False"}]
    return {"metadata": metadata, "spec": {}, "status": {"conditions": conditions}}


def budget(status: Obj | None = None, **spec: Any) -> Obj:
    return {"metadata": {"name": "b", "generation": 2}, "spec": spec, "status": status or {}}


def of_ten(owner: Obj) -> tuple[str, int]:
    return owner["uid"], 10


@pytest.mark.parametrize(
    ("spec", "wanted"),
    [
        ({"minAvailable": 2}, Expected(3, 2)),
        ({"minAvailable": "25%"}, Expected(10, 3)),
        ({"maxUnavailable": 3}, Expected(10, 7)),
        ({"maxUnavailable": "25%"}, Expected(10, 7)),
        ({"maxUnavailable": 30}, Expected(10, 0)),
    ],
)
def test_expected(spec: Obj, wanted: Expected) -> None:
    assert expected(budget(**spec), [pod("a"), pod("b"), pod("c")], of_ten) == wanted


def test_pods_of_nobody_are_named_and_those_of_unknown_kinds_refused() -> None:
    found = expected(budget(maxUnavailable=1), [pod("a", owner=None), pod("b")], of_ten)
    assert found.unmanaged == ("a",)
    job = {**OWNER, "kind": "Job", "apiVersion": "batch/v1"}
    with pytest.raises(Uncountable, match=r"jobs\.batch does not implement the scale subresource"):
        expected(budget(maxUnavailable=1), [pod("a", owner=job)], lambda owner: None)


def test_healthy_are_the_ready_that_stay() -> None:
    pods = [pod("a"), pod("b"), pod("c", ready=False), pod("d", going=True), pod("e")]
    found = status(budget(), pods, Expected(5, 1), {"e": "2026-01-01T00:00:00Z"}, NOW_S)
    assert (found["currentHealthy"], found["disruptionsAllowed"]) == (2, 1)
    condition = found["conditions"][0]
    assert (condition["status"], condition["reason"]) == ("True", "SufficientPods")
    assert found["disruptedPods"] == {"e": "2026-01-01T00:00:00Z"}
    assert found["observedGeneration"] == 2


def test_nothing_may_go_where_too_few_are_left_or_none_expected() -> None:
    few = status(budget(), [pod("a")], Expected(1, 2), {}, NOW_S)
    assert (few["disruptionsAllowed"], few["conditions"][0]["reason"]) == (0, "InsufficientPods")
    assert status(budget(), [pod("a")], Expected(0, 0), {}, NOW_S)["disruptionsAllowed"] == 0


def test_evictions_are_believed_for_two_minutes() -> None:
    disrupted = {"gone": stamp(0), "going": stamp(0), "late": stamp(121), "fresh": stamp(20)}
    pods = [pod("going", going=True), pod("late"), pod("fresh")]
    kept, again_s, failed = confirmed(disrupted, pods, NOW_S)
    assert kept == {"fresh": stamp(20)}
    assert again_s == 100
    assert failed == ["late"]


def test_what_cannot_be_counted_lets_nothing_go() -> None:
    found = failed_status(budget({"currentHealthy": 3, "disruptionsAllowed": 1}), "why", NOW_S)
    assert (found["disruptionsAllowed"], found["currentHealthy"]) == (0, 3)
    assert (found["conditions"][0]["reason"], found["conditions"][0]["message"]) == ("SyncFailed", "why")


def stamp(seconds_ago: float) -> str:
    return format_time(NOW_S - seconds_ago)
