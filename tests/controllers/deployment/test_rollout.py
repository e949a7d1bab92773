"""Single steps of a rollout, from values to values."""

from __future__ import annotations

from typing import Any

import pytest

from sampan.api.clock import format_time
from sampan.api.objects import Obj, annotations_of, name_of
from sampan.controllers.deployment.rollout import Plan, plan

NOW = 1_000_000.0
OLD = format_time(NOW - 1000)


def template(image: str) -> Obj:
    return {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": image}]}}


def deployment(image: str = "web:2", replicas: int = 4, conditions: tuple[Obj, ...] = (), **spec: Any) -> Obj:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": "web",
            "namespace": "default",
            "uid": "d",
            "generation": 2,
            "annotations": {"team": "a", "kubectl.kubernetes.io/last-applied-configuration": "{}"},
        },
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": "web"}},
            "template": template(image),
            **spec,
        },
        "status": {"conditions": list(conditions)},
    }


def replica_set(image: str, replicas: int, available: int | None = None, **more: Any) -> Obj:
    """Observed as it stands; `desired` is what the Deployment had when the set was sized last."""
    available = replicas if available is None else available
    annotations = {
        "deployment.kubernetes.io/revision": str(more.get("revision", 1)),
        "deployment.kubernetes.io/desired-replicas": str(more.get("desired", 4)),
        "deployment.kubernetes.io/max-replicas": str(more.get("desired", 4) + 1),
        "team": "a",
    }
    labelled = template(image)
    labelled["metadata"] = {"labels": {"app": "web", "pod-template-hash": image}}
    return {
        "metadata": {
            "name": f"web-{image}",
            "uid": image,
            "generation": 1,
            "creationTimestamp": more.get("created", OLD),
            "annotations": annotations,
        },
        "spec": {"replicas": replicas, "template": labelled},
        "status": {
            "replicas": replicas,
            "readyReplicas": available,
            "availableReplicas": available,
            "observedGeneration": 1,
        },
    }


def step(of: Obj, *sets: Obj, pods: dict[str, list[Obj]] | None = None) -> Plan:
    return plan(of, sets, pods or {}, "hash", NOW)


def sizes(found: Plan) -> dict[str, int]:
    return {name_of(change.replica_set): change.replicas for change in found.change if change.resizes}


def annotated(found: Plan) -> list[dict[str, str]]:
    return [dict(change.annotations) for change in found.change]


def reason(found: Plan, kind: str = "Progressing") -> str:
    return next((each["reason"] for each in found.status["conditions"] if each["type"] == kind), "")


def test_the_first_step_makes_the_new_set() -> None:
    found = step(deployment(), replica_set("web:1", 4, revision=3))
    assert found.create is not None
    assert name_of(found.create) == "web-hash"
    assert found.create["spec"]["replicas"] == 1  # 25 % of 4 more than asked for
    assert annotations_of(found.create) == {
        "team": "a",
        "deployment.kubernetes.io/revision": "4",
        "deployment.kubernetes.io/desired-replicas": "4",
        "deployment.kubernetes.io/max-replicas": "5",
    }
    assert found.revision == 4
    assert (sizes(found), reason(found)) == ({}, "NewReplicaSetCreated")


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ((4, 4), (1, 0), {"web-web:1": 3}),  # one may be missing: 25 % of 4
        ((3, 3), (1, 0), {"web-web:2": 2}),
        ((3, 3), (2, 0), {}),
        ((3, 3), (2, 1), {"web-web:1": 2}),
        ((0, 0), (4, 4), {}),
        ((4, 1), (1, 0), {"web-web:1": 3}),
    ],
)
def test_steps(old: tuple[int, int], new: tuple[int, int], expected: dict[str, int]) -> None:
    found = step(
        deployment(), replica_set("web:1", *old), replica_set("web:2", *new, revision=2, created=OLD)
    )
    assert sizes(found) == expected


def test_complete_and_cleaned_up() -> None:
    old = [replica_set(f"old:{n}", 0, revision=n) for n in range(1, 5)]
    found = step(deployment(revisionHistoryLimit=2), *old, replica_set("web:2", 4, revision=5))
    assert reason(found) == "NewReplicaSetAvailable"
    assert [name_of(each) for each in found.delete] == ["web-old:1", "web-old:2"]
    assert found.again_s is None


def test_scaled_in_the_middle_all_grow() -> None:
    sets = [replica_set("web:1", 3), replica_set("web:2", 2, 0, revision=2)]
    found = step(deployment(replicas=8), *sets)
    assert sizes(found) == {"web-web:1": 6, "web-web:2": 4}
    sized = {annotations["deployment.kubernetes.io/desired-replicas"] for annotations in annotated(found)}
    assert sized == {"8"}


def test_recreate_goes_through_nothing() -> None:
    recreate = deployment(strategy={"type": "Recreate"})
    assert sizes(step(recreate, replica_set("web:1", 4))) == {"web-web:1": 0}
    gone = replica_set("web:1", 0)
    terminating = {"web:1": [{"status": {"phase": "Running"}}]}
    assert step(recreate, gone, pods=terminating).create is None
    finished = {"web:1": [{"status": {"phase": "Failed"}}]}
    created = step(recreate, gone, pods=finished).create
    assert created is not None
    assert created["spec"]["replicas"] == 4


def test_a_paused_deployment_makes_no_new_set() -> None:
    found = step(deployment(paused=True), replica_set("web:1", 4))
    assert found.create is None
    assert reason(found) == "DeploymentPaused"
    paused = deployment(replicas=6, paused=True)
    assert sizes(step(paused, replica_set("web:1", 4))) == {"web-web:1": 6}


def test_a_deployment_on_its_way_out_changes_nothing() -> None:
    leaving = deployment()
    leaving["metadata"]["deletionTimestamp"] = OLD
    found = step(leaving, replica_set("web:1", 4))
    assert (found.create, found.change, found.delete, found.revision) == (None, (), (), 0)


def progressing(reason: str, ago_s: float) -> Obj:
    time = format_time(NOW - ago_s)
    return {
        "type": "Progressing",
        "status": "True",
        "reason": reason,
        "message": "",
        "lastUpdateTime": time,
        "lastTransitionTime": time,
    }


@pytest.mark.parametrize(
    ("ago_s", "expected", "again_s"),
    [(100, "ReplicaSetUpdated", 501), (601, "ProgressDeadlineExceeded", None)],
)
def test_a_rollout_that_stands_still_is_found_stuck(ago_s: float, expected: str, again_s: float) -> None:
    of = deployment(conditions=(progressing("ReplicaSetUpdated", ago_s),))
    of["status"] |= {"replicas": 5, "updatedReplicas": 2, "readyReplicas": 3, "availableReplicas": 3}
    found = step(of, replica_set("web:1", 3), replica_set("web:2", 2, 0, revision=2))
    assert (reason(found), found.again_s) == (expected, again_s)


def test_unavailable_is_said() -> None:
    found = step(deployment(), replica_set("web:2", 4, 2, revision=2))
    assert reason(found, "Available") == "MinimumReplicasUnavailable"
    assert found.status["unavailableReplicas"] == 2
