"""A ReplicationController keeps its Pods as a ReplicaSet does."""

from __future__ import annotations

from harness.world import World, running
from sampan.api.objects import Obj, controller_of, labels_of
from sampan.api.resources import PODS, REPLICATION_CONTROLLERS
from sampan.controllers.replicaset.controller import ReplicationControllerController
from sampan.controllers.replicaset.kind import REPLICA_SET, REPLICATION_CONTROLLER

CONTROLLER: Obj = {
    "apiVersion": "v1",
    "kind": "ReplicationController",
    "metadata": {"name": "web", "namespace": "default", "generation": 1},
    "spec": {
        "replicas": 2,
        "selector": {"app": "web"},
        "template": {
            "metadata": {"labels": {"app": "web"}},
            "spec": {"containers": [{"name": "c", "image": "i"}]},
        },
    },
}


def test_each_kind_reads_its_own_selector() -> None:
    labels = {"app": "web"}
    assert REPLICATION_CONTROLLER.selector(CONTROLLER).matches(labels)
    assert REPLICA_SET.selector({"spec": {"selector": {"matchLabels": labels}}}).matches(labels)


async def test_a_replication_controller_has_its_pods() -> None:
    async with running(World(CONTROLLER), ReplicationControllerController) as it:

        def status() -> Obj:
            found = it.fake.get(REPLICATION_CONTROLLERS, "web", "default") or {}
            return found.get("status") or {}

        await it.until(lambda: status().get("replicas") == 2)
        assert "terminatingReplicas" not in status()
        pods = it.fake.objects(PODS)
        assert [labels_of(pod) for pod in pods] == [{"app": "web"}] * 2
        assert {(controller_of(pod) or {})["kind"] for pod in pods} == {"ReplicationController"}
        await it.client.delete(PODS, pods[0]["metadata"]["name"], namespace="default")
        await it.until(lambda: len(it.fake.objects(PODS)) == 2 and status().get("replicas") == 2)
