"""Budgets over an API server in memory."""

from __future__ import annotations

from typing import Any

from harness.world import World as BaseWorld
from harness.world import running
from sampan.api.objects import Obj, mutable
from sampan.api.resources import PODS
from sampan.controllers.disruption.controller import BUDGETS, DisruptionController


def budget(**spec: Any) -> Obj:
    spec = {"selector": {"matchLabels": {"app": "web"}}, **spec}
    metadata = {"name": "b", "namespace": "default", "generation": 1}
    return {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": metadata, "spec": spec}


def workload(kind: str, replicas: int, owner: Obj | None = None) -> Obj:
    metadata: Obj = {"name": kind.lower(), "namespace": "default", "uid": kind}
    if owner:
        metadata["ownerReferences"] = [reference(owner)]
    return {"apiVersion": "apps/v1", "kind": kind, "metadata": metadata, "spec": {"replicas": replicas}}


def reference(owner: Obj) -> Obj:
    meta = owner["metadata"]
    return {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": meta["name"],
        "uid": meta["uid"],
        "controller": True,
    }


def pod(name: str, owner: Obj | None = None, *, ready: bool = True) -> Obj:
    metadata: Obj = {"name": name, "namespace": "default", "labels": {"app": "web"}}
    if owner:
        metadata["ownerReferences"] = [reference(owner)]
    conditions = [{"type": "Ready", "status": "True" if ready else "False"}]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata,
        "spec": {"containers": []},
        "status": {"phase": "Running", "conditions": conditions},
    }


class World(BaseWorld):
    def status(self) -> Obj:
        found = self.fake.get(BUDGETS, "b", "default")
        assert found is not None
        return found.get("status") or {}

    def counts(self) -> tuple[Any, ...]:
        """(allowed, healthy, wanted, expected)"""
        keys = ("disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods")
        return tuple(self.status().get(key) for key in keys)

    def state(self) -> object:
        return self.status()


async def test_pods_that_become_ready_may_go() -> None:
    start = World(budget(minAvailable=1), pod("a"), pod("b", ready=False))
    async with running(start, DisruptionController) as it:
        await it.until(lambda: it.counts() == (0, 1, 1, 2))
        it.fake.add(pod("b"))
        await it.until(lambda: it.counts() == (1, 2, 1, 2))
        it.fake.remove(PODS, "a", "default")
        await it.until(lambda: it.counts() == (0, 1, 1, 1))


async def test_a_deployment_counts_as_a_whole_and_its_scale_is_followed() -> None:
    deployment = workload("Deployment", 4)
    replica_set = workload("ReplicaSet", 2, deployment)
    pods = [pod("a", replica_set), pod("b", replica_set)]
    start = World(budget(maxUnavailable="50%"), deployment, replica_set, *pods)
    async with running(start, DisruptionController) as it:
        await it.until(lambda: it.counts() == (0, 2, 2, 4))
        it.fake.add(workload("Deployment", 2))
        await it.until(lambda: it.counts() == (1, 2, 1, 2))


async def test_an_eviction_is_forgotten_when_its_pod_has_gone() -> None:
    async with running(World(budget(minAvailable=1), pod("a"), pod("b")), DisruptionController) as it:
        await it.until(lambda: it.counts() == (1, 2, 1, 2))
        taken = mutable(it.fake.get(BUDGETS, "b", "default") or {})
        taken["status"] |= {"disruptionsAllowed": 0, "disruptedPods": {"a": "2999-01-01T00:00:00Z"}}
        it.fake.add(taken)
        await it.until(lambda: it.counts() == (0, 1, 1, 2))
        assert "a" in it.status()["disruptedPods"]
        it.fake.remove(PODS, "a", "default")
        await it.until(lambda: "disruptedPods" not in it.status())


async def test_what_cannot_be_counted_is_said() -> None:
    job = {**workload("Job", 1), "apiVersion": "batch/v1"}
    async with running(World(budget(maxUnavailable=1), pod("a", job)), DisruptionController) as it:
        await it.until(lambda: bool(it.status()))
        assert it.status()["conditions"][0]["reason"] == "SyncFailed"
