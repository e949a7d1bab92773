"""Which Pods a ReplicaSet creates and deletes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan.api.clock import format_time
from sampan.api.objects import Obj, name_of
from sampan.controllers.replicaset.plan import BURST, Plan, batches, deletion_order, plan, pod_from_template

NOW = 1_000_000.0


def pod(
    name: str,
    node: str = "n",
    phase: str = "Running",
    ready_for: float | None = 100,
    cost: str | None = None,
    restarts: int = 0,
    age: float = 1000,
) -> Obj:
    conditions = []
    if ready_for is not None:
        since = format_time(NOW - ready_for)
        conditions = [{"type": "Ready", "status": "True", "lastTransitionTime": since}]
    metadata: Obj = {"name": name, "uid": name, "creationTimestamp": format_time(NOW - age)}
    if cost is not None:
        metadata["annotations"] = {"controller.kubernetes.io/pod-deletion-cost": cost}
    status = {
        "phase": phase,
        "conditions": conditions,
        "containerStatuses": [{"name": "c", "restartCount": restarts}],
    }
    return {"metadata": metadata, "spec": {"nodeName": node}, "status": status}


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"node": ""}, {"phase": "Pending"}),
        ({"phase": "Pending"}, {"phase": "Unknown"}),
        ({"phase": "Unknown"}, {"phase": "Running"}),
        ({"ready_for": None}, {"cost": "-10"}),
        ({"cost": "-10"}, {}),
        ({}, {"cost": "5"}),
        ({"node": "crowded"}, {"node": "n"}),
        ({"ready_for": 10}, {"ready_for": 1000}),
        ({"restarts": 3}, {}),
        ({"age": 10}, {"age": 1000}),
    ],
)
def test_the_pod_that_is_worth_least_goes_first(first: dict[str, Any], second: dict[str, Any]) -> None:
    pods = [pod("second", **second), pod("first", **first)]
    ordered = deletion_order(pods, {"crowded": 3, "n": 1}, NOW)
    assert [name_of(each) for each in ordered] == ["first", "second"]


@given(st.integers(0, 40), st.integers(0, 40))
def test_plan_makes_up_the_difference(replicas: int, count: int) -> None:
    pods = [pod(str(number)) for number in range(count)]
    step = plan(replicas, pods, {}, NOW)
    assert count + step.create - len(step.delete) == replicas
    assert not (step.create and step.delete)


def test_a_great_difference_goes_in_bursts() -> None:
    assert plan(10_000, [], {}, NOW) == Plan(create=BURST)


def test_batches_double() -> None:
    assert list(batches(10)) == [1, 2, 4, 3]
    assert list(batches(0)) == []


def test_pod_is_made_from_the_template_and_shares_nothing_with_it() -> None:
    template = {
        "metadata": {"labels": {"app": "web"}},
        "spec": {"containers": [{"name": "c", "image": "i"}]},
    }
    owner: Obj = {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {"name": "web-1", "namespace": "ns", "uid": "u"},
        "spec": {"template": template},
    }
    made = pod_from_template(owner)
    assert made == {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "generateName": "web-1-",
            "namespace": "ns",
            "labels": {"app": "web"},
            "ownerReferences": [
                {
                    "apiVersion": "apps/v1",
                    "kind": "ReplicaSet",
                    "name": "web-1",
                    "uid": "u",
                    "controller": True,
                    "blockOwnerDeletion": True,
                }
            ],
        },
        "spec": {"containers": [{"name": "c", "image": "i"}]},
    }
    made["spec"]["containers"][0]["image"] = "other"
    made["metadata"]["labels"]["app"] = "other"
    assert owner["spec"]["template"]["spec"]["containers"][0]["image"] == "i"
    assert owner["spec"]["template"]["metadata"]["labels"] == {"app": "web"}
