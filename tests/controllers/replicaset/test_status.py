"""A ReplicaSet's status from its Pods, and when to look again."""

from __future__ import annotations

import pytest

from sampan.api.clock import format_time
from sampan.api.objects import Obj
from sampan.controllers.replicaset.status import Failure, available_in, same, status

NOW = 1767323045.0


def pod(ready_since_s: float | None = None, app: str = "web") -> Obj:
    """Ready for so many seconds, or not at all."""
    ready: Obj = {"type": "Ready", "status": "False", "lastTransitionTime": format_time(NOW - 9999)}
    if ready_since_s is not None:
        ready |= {"status": "True", "lastTransitionTime": format_time(NOW - ready_since_s)}
    return {"metadata": {"labels": {"app": app, "more": "x"}}, "status": {"conditions": [ready]}}


def replica_set(min_ready_s: int = 0, *conditions: Obj) -> Obj:
    return {
        "metadata": {"generation": 3},
        "spec": {"minReadySeconds": min_ready_s, "template": {"metadata": {"labels": {"app": "web"}}}},
        "status": {"conditions": list(conditions)},
    }


def test_counts_leave_out_zeros_that_upstream_leaves_out() -> None:
    pods = [pod(), pod(5), pod(50), pod(5, app="stray")]
    assert status(replica_set(10), pods, 2, None, NOW) == (
        {
            "replicas": 4,
            "terminatingReplicas": 2,
            "observedGeneration": 3,
            "fullyLabeledReplicas": 3,
            "readyReplicas": 3,
            "availableReplicas": 1,
        },
        5.0,
    )
    nothing = {"replicas": 0, "terminatingReplicas": 0, "observedGeneration": 3}
    assert status(replica_set(), [], 0, None, NOW) == (nothing, None)


def test_the_next_look_is_when_the_first_becomes_available() -> None:
    assert status(replica_set(30), [pod(5), pod(20), pod(10)], 0, None, NOW)[1] == 10.0
    assert status(replica_set(30), [pod(), pod(30)], 0, None, NOW)[1] is None


@pytest.mark.parametrize(
    ("of", "min_ready_s", "wait_s"),
    [
        (pod(), 0, None),
        ({"metadata": {}}, 0, None),
        (pod(0), 0, 0.0),
        (pod(0), 10, 10.0),
        (pod(4), 10, 6.0),
        (pod(10), 10, 0.0),
        (pod(99), 10, 0.0),
        ({"metadata": {}, "status": {"conditions": [{"type": "Ready", "status": "True"}]}}, 10, 10),
    ],
)
def test_a_pod_is_available_when_it_was_ready_long_enough(
    of: Obj, min_ready_s: float, wait_s: float | None
) -> None:
    assert available_in(of, min_ready_s, NOW) == wait_s


def test_a_failure_is_said_once_and_taken_back_when_it_is_over() -> None:
    failure = Failure("FailedCreate", ValueError("no room"))
    said = status(replica_set(), [], 0, failure, NOW)[0]["conditions"]
    assert said == [
        {
            "type": "ReplicaFailure",
            "status": "True",
            "reason": "FailedCreate",
            "message": "no room",
            "lastTransitionTime": format_time(NOW),
        }
    ]
    other = Failure("FailedDelete", ValueError("else"))
    assert status(replica_set(0, *said), [], 0, other, NOW + 5)[0]["conditions"] == said
    assert "conditions" not in status(replica_set(0, *said), [], 0, None, NOW + 5)[0]
    kept = {"type": "Custom", "status": "True"}
    assert status(replica_set(0, kept, *said), [], 0, None, NOW)[0]["conditions"] == [kept]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (None, {"replicas": 0}, True),
        ({"readyReplicas": 1}, {}, False),
        ({"replicas": 1}, {"replicas": 1, "conditions": []}, True),
        ({"replicas": 1}, {"replicas": 2}, False),
    ],
)
def test_a_status_that_says_nothing_new_is_not_written(old: Obj | None, new: Obj, expected: bool) -> None:
    assert same(old, new) is expected
