"""The scheduler and the binder together, and a provisioner played by the test."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

from harness.storage import WAITS, bound_claim, claim, only_on, ref, storage_class, volume
from harness.world import World as BaseWorld
from harness.world import running
from sampan.api.objects import Obj, annotations_of, mutable
from sampan.api.persistence import BIND_COMPLETED, NO_PROVISIONER, SELECTED_NODE
from sampan.api.resources import PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, PODS
from sampan.scheduler import volumebinder
from sampan.scheduler.scheduler import Scheduler


def node(name: str = "n1") -> Obj:
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}},
        "spec": {},
        "status": {"allocatable": {"cpu": "2", "memory": "4Gi", "pods": "110"}},
    }


def pod(name: str, *claims: str, **spec: Any) -> Obj:
    volumes = [{"name": each, "persistentVolumeClaim": {"claimName": each}} for each in claims]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default", "uid": f"u-{name}"},
        "spec": {"containers": [], "volumes": volumes, **spec},
        "status": {"phase": "Pending"},
    }


class World(BaseWorld):
    def place(self, name: str) -> str:
        found = self.fake.get(PODS, name, "default")
        return str(found["spec"].get("nodeName", "")) if found else ""

    def selected(self, name: str = "data") -> str:
        found = self.fake.get(PERSISTENT_VOLUME_CLAIMS, name, "default")
        return annotations_of(found).get(SELECTED_NODE, "") if found else ""

    def bind(self, name: str = "data", to: str = "v") -> None:
        """As the binder does in the end."""
        found = self.fake.get(PERSISTENT_VOLUME_CLAIMS, name, "default")
        assert found is not None
        bound = mutable(found)
        bound["metadata"]["annotations"] = {**annotations_of(found), BIND_COMPLETED: "yes"}
        bound["spec"]["volumeName"] = to
        bound["status"] = {"phase": "Bound"}
        self.fake.add(bound)


def world(*objects: Obj) -> AbstractAsyncContextManager[World]:
    return running(World(*objects), Scheduler)


LATE = storage_class("late", WAITS)
STATIC = storage_class("static", WAITS, NO_PROVISIONER)


async def test_a_pod_waits_until_its_claim_was_provided_for_on_its_node() -> None:
    async with world(node(), LATE, claim(storageClassName="late"), pod("p", "data")) as it:
        await it.until(lambda: it.selected() == "n1")
        await asyncio.sleep(0.02)
        assert not it.place("p")
        it.bind()
        await it.until(lambda: it.place("p") == "n1")


async def test_a_volume_of_the_node_is_made_to_name_the_claim() -> None:
    there = volume(storageClassName="static", nodeAffinity=only_on("n2"))
    objects = (node("n1"), node("n2"), STATIC, claim(storageClassName="static"), there, pod("p", "data"))
    async with world(*objects) as it:

        def named() -> bool:
            found = it.fake.get(PERSISTENT_VOLUMES, "v")
            return bool(found and found["spec"].get("claimRef", {}).get("uid") == "u-data")

        await it.until(named)
        it.bind()
        await it.until(lambda: it.place("p") == "n2")


async def test_two_pods_take_two_volumes() -> None:
    claims = [claim(each, storageClassName="static") for each in ("a", "b")]
    volumes = [volume(each, storageClassName="static") for each in ("v", "w")]
    pods = [pod(f"p-{each}", each) for each in ("a", "b")]
    async with world(node(), STATIC, *claims, *volumes, *pods) as it:

        def owners() -> set[str]:
            return {
                each["spec"].get("claimRef", {}).get("name", "")
                for each in it.fake.objects(PERSISTENT_VOLUMES)
            }

        await it.until(lambda: owners() == {"a", "b"})


async def test_two_pods_with_one_claim_go_to_one_node() -> None:
    taken = [pod(f"x{number}", nodeName="n1") for number in range(3)]
    async with world(node("n1"), node("n2"), LATE, claim(storageClassName="late"), *taken) as it:
        it.fake.add(pod("p", "data"), pod("q", "data"))
        await it.until(lambda: bool(it.selected()))
        it.bind()
        it.fake.add(volume(claimRef=ref(), nodeAffinity=only_on(it.selected())))
        await it.until(lambda: bool(it.place("p") and it.place("q")))
        assert it.place("p") == it.place("q") == it.selected()


async def test_a_pod_that_waits_for_its_claim_goes_on_at_once_when_that_comes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sampan.scheduler.queue.FIRST_BACKOFF_S", 60.0)
    async with world(node(), pod("p", "data")) as it:
        await it.until(lambda: bool(it.fake.actions))
        assert (await it.messages("FailedScheduling"))[0].startswith(
            '0/1 nodes are available: persistentvolumeclaim "data" not found. preemption: '
        )
        it.fake.add(volume(claimRef=ref()))
        it.fake.add(bound_claim())
        async with asyncio.timeout(30):  # no back-off
            await it.until(lambda: it.place("p") == "n1")


async def test_a_provisioner_that_gives_up_has_the_pod_looked_at_again() -> None:
    async with world(node(), LATE, claim(storageClassName="late"), pod("p", "data")) as it:
        await it.until(lambda: it.selected() == "n1")
        await asyncio.sleep(0.01)
        it.fake.add(claim(storageClassName="late"))
        await it.until(lambda: any(action.plural == "events" for action in it.fake.actions))
        assert await it.messages("FailedScheduling") == [
            'running PreBind plugin "VolumeBinding": binding volumes: provisioning failed for PVC "data"'
        ]


async def test_a_pod_that_goes_while_it_waits_leaves_nothing_decided() -> None:
    there = volume(storageClassName="static")
    async with world(node(), STATIC, claim(storageClassName="static"), there, pod("p", "data")) as it:
        await it.until(lambda: any(action.plural == "persistentvolumes" for action in it.fake.actions))
        it.fake.remove(PODS, "p", "default")
        it.fake.remove(PERSISTENT_VOLUME_CLAIMS, "data", "default")
        it.fake.add(volume(storageClassName="static"), claim("other", storageClassName="static"))
        it.fake.add(pod("q", "other"))

        def others() -> bool:
            found = it.fake.get(PERSISTENT_VOLUMES, "v")
            return bool(found and found["spec"].get("claimRef", {}).get("name") == "other")

        await it.until(others)


async def test_only_so_long() -> None:
    it = World(node(), LATE, claim(storageClassName="late"), pod("p", "data"))

    def hasty(*parts: Any) -> Scheduler:
        scheduler = Scheduler(*parts)
        scheduler._volumes._deadline_s = 0.02
        return scheduler

    making: Callable[..., Scheduler] = hasty
    async with running(it, making):
        await it.until(lambda: any(action.plural == "events" for action in it.fake.actions))
        assert await it.messages("FailedScheduling") == [
            'running PreBind plugin "VolumeBinding": binding volumes: context deadline exceeded'
        ]
    assert volumebinder.DEADLINE_S == 600


async def test_a_claim_of_one_pod_only_is_free_when_that_has_gone() -> None:
    only = bound_claim(accessModes=["ReadWriteOncePod"])
    objects = (node(), only, volume(claimRef=ref()), pod("p", "data", nodeName="n1"), pod("q", "data"))
    async with world(*objects) as it:
        await it.until(lambda: any(action.plural == "events" for action in it.fake.actions))
        (message,) = await it.messages("FailedScheduling")
        assert (
            "1 node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode"
            in message
        )
        it.fake.remove(PODS, "p", "default")
        await it.until(lambda: it.place("q") == "n1")
