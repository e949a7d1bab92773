"""The ReplicaSet controller over an API server in memory."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager

from harness.world import World as BaseWorld
from harness.world import running
from sampan.api.errors import status_error
from sampan.api.objects import Obj, condition_of, controller_of, name_of
from sampan.api.resources import PODS, REPLICA_SETS
from sampan.client.fake import FakeTransport
from sampan.controllers.replicaset.controller import ReplicaSetController


def replica_set(replicas: int = 3) -> Obj:
    return {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {"name": "web", "namespace": "default", "generation": 1},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [{"name": "c", "image": "i"}]},
            },
        },
    }


def bare_pod(name: str, app: str = "web") -> Obj:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default", "labels": {"app": app}},
        "spec": {"containers": [{"name": "c", "image": "i"}]},
        "status": {"phase": "Running"},
    }


class World(BaseWorld):
    @property
    def pods(self) -> list[Obj]:
        return self.fake.objects(PODS)

    @property
    def status(self) -> Obj:
        found = self.fake.get(REPLICA_SETS, "web", "default")
        return (found or {}).get("status") or {}

    def state(self) -> object:
        return self.status, [name_of(pod) for pod in self.pods]


def world(*objects: Obj, fake: FakeTransport | None = None) -> AbstractAsyncContextManager[World]:
    return running(World(*objects, fake=fake), ReplicaSetController)


async def test_pods_are_made_counted_and_spoken_of() -> None:
    async with world(replica_set()) as it:
        await it.until(lambda: it.status.get("replicas") == 3)
        assert len(it.pods) == 3
        assert it.status["observedGeneration"] == 1
        assert it.status["fullyLabeledReplicas"] == 3
        assert sorted(await it.messages("SuccessfulCreate")) == sorted(
            f"Created pod: {name_of(pod)}" for pod in it.pods
        )


async def test_a_deleted_pod_is_replaced_and_never_by_two() -> None:
    async with world(replica_set()) as it:
        await it.until(lambda: it.status.get("replicas") == 3)
        for _ in range(10):
            it.fake.remove(PODS, name_of(it.pods[0]), "default")
            await it.until(lambda: len(it.pods) == 3)
        await asyncio.sleep(0.02)
        assert len(it.pods) == 3
        created = [action for action in it.fake.actions if (action.verb, action.plural) == ("create", "pods")]
        assert len(created) == 13


async def test_a_failed_pod_is_replaced_but_kept() -> None:
    async with world(replica_set()) as it:
        await it.until(lambda: it.status.get("replicas") == 3)
        failed: Obj = {"status": {"phase": "Failed"}}
        name = name_of(it.pods[0])
        await it.client.patch(PODS, name, failed, namespace="default", subresource="status")
        await it.until(lambda: len(it.pods) == 4)
        await it.until(lambda: it.status.get("replicas") == 3)


async def test_scaling_down_says_what_it_deleted() -> None:
    async with world(replica_set()) as it:
        await it.until(lambda: it.status.get("replicas") == 3)
        await it.client.patch(REPLICA_SETS, "web", {"spec": {"replicas": 1}}, namespace="default")
        await it.until(lambda: it.status.get("replicas") == 1)
        assert len(await it.messages("SuccessfulDelete")) == 2


async def test_adopts_an_orphan_and_releases_a_stray() -> None:
    async with world(bare_pod("lonely"), replica_set()) as it:
        await it.until(lambda: it.status.get("replicas") == 3)
        assert len(it.pods) == 3
        lonely = it.fake.get(PODS, "lonely", "default")
        assert lonely is not None
        assert (controller_of(lonely) or {}).get("name") == "web"
        await it.client.patch(PODS, "lonely", {"metadata": {"labels": {"app": "other"}}}, namespace="default")
        await it.until(lambda: len(it.pods) == 4)
        await it.until(lambda: controller_of(it.fake.get(PODS, "lonely", "default") or {}) is None)


async def test_a_refused_create_is_a_condition_until_it_works() -> None:
    fake = FakeTransport(replica_set())
    refused = 'pods "web-" is forbidden: exceeded quota: q, requested: pods=1, used: pods=0, limited: pods=0'
    fake.fail("create", "pods", status_error(403, "Forbidden", refused), times=3)
    seen: list[Obj] = []
    async with world(fake=fake) as it:

        def failed() -> bool:
            found = it.fake.get(REPLICA_SETS, "web", "default")
            condition = condition_of(found, "ReplicaFailure") if found else None
            seen.extend([condition] if condition else [])
            return it.status.get("replicas") == 3

        await it.until(failed)
        assert seen[0]["reason"] == "FailedCreate"
        assert seen[0]["message"] == refused
        await it.until(lambda: not it.status.get("conditions"))
        assert await it.messages("FailedCreate") == [f"Error creating: {refused}"]
