"""Counts and conditions in upstream's words, as `kubectl rollout status` reads them."""

from __future__ import annotations

from typing import Any

import pytest

from sampan.api.clock import format_time
from sampan.api.objects import Obj
from sampan.controllers.conditions import find
from sampan.controllers.deployment import status as statuses
from sampan.controllers.deployment.scale import Strategy
from sampan.controllers.deployment.status import NO_DEADLINE, View

NOW = 1767323045.0
AGO_S = 100


def condition(kind: str, status: str, reason: str, ago_s: float = AGO_S, message: str = "") -> Obj:
    return statuses.condition(kind, status, reason, message, NOW - ago_s)


def replica_set(name: str, replicas: int, available: int | None = None, *listed: Obj) -> Obj:
    ready = replicas if available is None else available
    numbers = {"replicas": replicas, "readyReplicas": ready, "availableReplicas": ready}
    return {"metadata": {"name": name, "uid": name}, "status": {**numbers, "conditions": list(listed)}}


def view(
    *,
    new: Obj | None = None,
    old: tuple[Obj, ...] = (),
    was: Obj | None = None,
    desired: int = 3,
    **spec: Any,
) -> View:
    deployment = {"metadata": {"name": "web", "generation": 7}, "spec": spec, "status": was or {}}
    every = [*old, *([new] if new else [])]
    sizes = {each["metadata"]["uid"]: each["status"]["replicas"] for each in every}
    return View(deployment, new, every, Strategy(desired, 1, 1), sizes, NOW)


def judged(of: View, *present: Obj) -> Obj:
    return statuses.judge_progress(of, statuses.counts(of, list(present)))


def verdict(status: Obj, kind: str) -> tuple[str, str, str] | None:
    found = find(status["conditions"], kind)
    return (found["status"], found["reason"], found["message"]) if found else None


@pytest.mark.parametrize(
    ("spec", "seconds"),
    [
        ({}, 600),
        ({"progressDeadlineSeconds": 5}, 5),
        ({"progressDeadlineSeconds": None}, None),
        ({"progressDeadlineSeconds": NO_DEADLINE}, None),
    ],
)
def test_the_largest_deadline_means_none(spec: Obj, seconds: int | None) -> None:
    assert statuses.deadline_s({"spec": spec}) == seconds


def test_counts_are_over_all_sets_and_zeros_are_left_out() -> None:
    of = view(new=replica_set("new", 2, 1), old=(replica_set("old", 3, 2),), was={"collisionCount": 2})
    found = statuses.counts(of, [])
    del found["conditions"]
    assert found == {
        "observedGeneration": 7,
        "replicas": 5,
        "updatedReplicas": 2,
        "readyReplicas": 3,
        "availableReplicas": 3,
        "unavailableReplicas": 2,
        "terminatingReplicas": 0,
        "collisionCount": 2,
    }
    nothing = statuses.counts(view(desired=0), [])
    assert nothing.keys() == {"observedGeneration", "terminatingReplicas", "conditions"}


@pytest.mark.parametrize(
    ("available", "expected"),
    [
        (2, ("True", "MinimumReplicasAvailable", "Deployment has minimum availability.")),
        (1, ("False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability.")),
    ],
)
def test_available_means_as_many_as_the_strategy_promises(available: int, expected: tuple[str, ...]) -> None:
    assert verdict(statuses.counts(view(new=replica_set("new", 3, available)), []), "Available") == expected


def test_a_condition_that_says_the_same_keeps_its_times() -> None:
    old = condition("Available", "True", "MinimumReplicasAvailable")
    assert statuses.set_condition([old], condition("Available", "True", "MinimumReplicasAvailable", 0)) == [
        old
    ]
    turned = statuses.set_condition([old], condition("Available", "False", "Other", 0))[0]
    assert turned["lastUpdateTime"] == turned["lastTransitionTime"] == format_time(NOW)
    renamed = statuses.set_condition([old], condition("Available", "True", "Other", 0))[0]
    assert (renamed["lastUpdateTime"], renamed["lastTransitionTime"]) == (
        format_time(NOW),
        format_time(NOW - AGO_S),
    )


@pytest.mark.parametrize(
    ("paused", "reason", "expected"),
    [
        (True, "ReplicaSetUpdated", ("Unknown", "DeploymentPaused", "Deployment is paused")),
        (True, "DeploymentPaused", None),
        (True, "ProgressDeadlineExceeded", None),
        (False, "DeploymentPaused", ("Unknown", "DeploymentResumed", "Deployment is resumed")),
        (False, "ReplicaSetUpdated", None),
    ],
)
def test_a_pause_that_begins_or_ends_is_said_once(
    paused: bool, reason: str, expected: tuple[str, str, str] | None
) -> None:
    of = {
        "spec": {"paused": paused},
        "status": {"conditions": [condition("Progressing", "True", reason)]},
    }
    found = statuses.pause_condition(of, NOW)
    assert (found and (found["status"], found["reason"], found["message"])) == expected


def test_where_progress_is_not_judged_a_pause_is_not_either() -> None:
    of = {"spec": {"paused": True, "progressDeadlineSeconds": None}}
    assert statuses.pause_condition(of, NOW) is None


MOVING = condition("Progressing", "True", "ReplicaSetUpdated")
STUCK = condition("Progressing", "True", "ReplicaSetUpdated", 601)
COMPLETE = ("True", "NewReplicaSetAvailable", 'ReplicaSet "new" has successfully progressed.')
PROGRESSING = ("True", "ReplicaSetUpdated", 'ReplicaSet "new" is progressing.')
TIMED_OUT = ("False", "ProgressDeadlineExceeded", 'ReplicaSet "new" has timed out progressing.')
HALF = {"replicas": 2, "updatedReplicas": 2, "readyReplicas": 2, "availableReplicas": 2}


@pytest.mark.parametrize(
    ("new", "was", "present", "expected"),
    [
        (replica_set("new", 3), {}, MOVING, COMPLETE),
        (replica_set("new", 3), {}, STUCK, COMPLETE),
        (replica_set("new", 2), {"replicas": 1}, MOVING, PROGRESSING),
        (replica_set("new", 2), HALF | {"readyReplicas": 1}, STUCK, PROGRESSING),
        (replica_set("new", 2), HALF | {"replicas": 4}, STUCK, PROGRESSING),
        (replica_set("new", 2), HALF, STUCK, TIMED_OUT),
        (replica_set("new", 2), HALF, MOVING, ("True", "ReplicaSetUpdated", "")),
        (
            replica_set("new", 3, 2),
            {"availableReplicas": 3},
            condition("Progressing", "True", "NewReplicaSetAvailable", 9999),
            ("True", "NewReplicaSetAvailable", ""),
        ),
    ],
    ids=["complete", "complete late", "more", "readier", "fewer old", "stuck", "waits", "pod failed later"],
)
def test_progress(new: Obj, was: Obj, present: Obj, expected: tuple[str, str, str]) -> None:
    assert verdict(judged(view(new=new, was=was), present), "Progressing") == expected


def test_while_there_is_progress_the_deadline_counts_anew() -> None:
    found = find(judged(view(new=replica_set("new", 2)), MOVING)["conditions"], "Progressing")
    assert found is not None and found["lastUpdateTime"] == format_time(NOW)
    assert found["lastTransitionTime"] == format_time(NOW - AGO_S)


def test_without_a_deadline_nothing_is_said_about_progress() -> None:
    status = judged(view(new=replica_set("new", 1), progressDeadlineSeconds=None), MOVING)
    assert verdict(status, "Progressing") is None


def test_a_set_that_cannot_make_pods_is_quoted_the_new_one_first() -> None:
    def failing(name: str) -> Obj:
        return replica_set(name, 1, 0, condition("ReplicaFailure", "True", "FailedCreate", message=name))

    both = judged(view(new=failing("new"), old=(failing("old"),)))
    assert verdict(both, "ReplicaFailure") == ("True", "FailedCreate", "new")
    old = judged(view(new=replica_set("new", 1), old=(failing("old"),)))
    assert verdict(old, "ReplicaFailure") == ("True", "FailedCreate", "old")
    over = condition("ReplicaFailure", "True", "FailedCreate")
    assert verdict(judged(view(new=replica_set("new", 1)), over), "ReplicaFailure") is None


@pytest.mark.parametrize(
    ("present", "seconds"),
    [
        (condition("Progressing", "True", "ReplicaSetUpdated", 100), 501.0),
        (condition("Progressing", "True", "ReplicaSetUpdated", 700), 1.0),
        (condition("Progressing", "True", "NewReplicaSetAvailable"), None),
        (condition("Progressing", "Unknown", "DeploymentPaused"), None),
        (condition("Progressing", "False", "ProgressDeadlineExceeded"), None),
    ],
)
def test_it_looks_again_when_the_deadline_may_have_passed(present: Obj, seconds: float | None) -> None:
    of = view(new=replica_set("new", 2))
    assert statuses.deadline_in(of, {"conditions": [present]}) == seconds


def test_nothing_is_waited_for_once_it_is_complete() -> None:
    of = view(new=replica_set("new", 3))
    assert statuses.deadline_in(of, statuses.counts(of, [MOVING])) is None


@pytest.mark.parametrize(
    ("old", "new", "same"),
    [
        (None, {}, True),
        ({}, {"replicas": 0, "conditions": []}, True),
        ({"readyReplicas": 1}, {}, False),
        ({"replicas": 1}, {"replicas": 2}, False),
    ],
)
def test_a_status_that_says_nothing_new_is_not_written(old: Obj | None, new: Obj, same: bool) -> None:
    assert statuses.same(old, new) is same
