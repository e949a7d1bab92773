"""The ConfigMaps and Secrets of this node's Pods: found in the spec, watched while somebody uses them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from sampan.api.errors import StatusError, status_error
from sampan.api.objects import Obj
from sampan.api.resources import CONFIG_MAPS, SECRETS
from sampan.client.client import Client
from sampan.client.fake import FakeTransport
from sampan.kubelet.references import References, referenced

pytestmark = pytest.mark.virtual_time


def config_map(name: str, value: str = "1") -> Obj:
    metadata = {"name": name, "namespace": "ns"}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"k": value}}


def pod(*names: str, uid: str = "u") -> Obj:
    sources = [{"configMapRef": {"name": name}} for name in names]
    metadata = {"name": "p", "namespace": "ns", "uid": uid}
    return {"metadata": metadata, "spec": {"containers": [{"name": "c", "envFrom": sources}]}}


def test_every_place_of_a_spec_that_names_one() -> None:
    spec = {
        "imagePullSecrets": [{"name": "pull"}, {}],
        "volumes": [
            {"name": "a", "configMap": {"name": "volume"}},
            {"name": "b", "secret": {"secretName": "volume"}},
            {"name": "c", "emptyDir": {}},
            {
                "name": "d",
                "projected": {
                    "sources": [
                        {"configMap": {"name": "projected"}},
                        {"secret": {"name": "projected"}},
                        {"serviceAccountToken": {"path": "token"}},
                    ]
                },
            },
        ],
        "initContainers": [
            {"envFrom": [{"secretRef": {"name": "from"}}, {"configMapRef": {"name": "from"}}]}
        ],
        "containers": [
            {
                "env": [
                    {"name": "A", "value": "1"},
                    {"name": "B", "valueFrom": {"configMapKeyRef": {"name": "key", "key": "k"}}},
                    {"name": "C", "valueFrom": {"secretKeyRef": {"name": "key", "key": "k"}}},
                    {"name": "D", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
                ]
            }
        ],
    }
    found = referenced({"spec": spec})
    assert {name for resource, name in found if resource is CONFIG_MAPS} == {
        "volume", "projected", "from", "key",
    }  # fmt: skip
    assert {name for resource, name in found if resource is SECRETS} == {
        "pull", "volume", "projected", "from", "key",
    }  # fmt: skip


class World:
    def __init__(self, *objects: Obj) -> None:
        self.fake = FakeTransport(*objects, reads=True)
        self.references = References(Client(self.fake))
        self.heard: list[str] = []
        self.references.changed = self.heard.append

    async def value(self, name: str) -> str | None:
        found = await self.references.get(CONFIG_MAPS, "ns", name)
        return found["data"]["k"] if found else None

    def gets(self) -> int:
        return sum(action.verb == "get" for action in self.fake.actions)

    async def until(self, true: Callable[[], bool]) -> None:
        for _ in range(3000):
            if true():
                return
            await asyncio.sleep(0.001)
        raise AssertionError("never came true")

    async def synced(self) -> None:
        for entry in self.references._entries.values():
            await entry.informer.wait_synced()


@asynccontextmanager
async def world(*objects: Obj) -> AsyncIterator[World]:
    made = World(*objects)
    task = asyncio.create_task(made.references.run())
    await asyncio.sleep(0)
    try:
        yield made
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_the_first_container_does_not_wait_for_a_watch() -> None:
    async with world(config_map("a")) as it:
        it.references.hold(pod("a"))
        assert await it.value("a") == "1"
        assert it.gets() == 1
        await it.synced()
        assert await it.value("a") == "1"
        assert it.gets() == 1


async def test_what_was_handed_out_is_no_news_and_a_change_is_for_all_who_use_it() -> None:
    async with world(config_map("a")) as it:
        it.references.hold(pod("a", uid="one"))
        it.references.hold(pod("a", uid="two"))
        it.references.hold(pod("a", uid="two"))
        await it.value("a")
        await it.synced()
        await asyncio.sleep(0.01)
        assert it.heard == []
        it.fake.add(config_map("a", "2"))
        await it.until(lambda: sorted(it.heard) == ["one", "two"])
        assert await it.value("a") == "2"


async def test_what_never_changes_is_not_watched() -> None:
    async with world({**config_map("a"), "immutable": True}) as it:
        it.references.hold(pod("a", uid="one"))
        await it.synced()
        assert await it.value("a") == "1"
        (entry,) = it.references._entries.values()
        await it.until(entry.task.done)
        it.references.hold(pod("a", uid="two"))
        assert await it.value("a") == "1"
        it.references.release("one")
        it.references.release("two")
        assert not it.references._entries


async def test_one_that_comes_later_is_news() -> None:
    async with world() as it:
        it.references.hold(pod("late"))
        assert await it.value("late") is None
        it.fake.add(config_map("late"))
        await it.until(lambda: it.heard == ["u"])


async def test_a_watch_lives_as_long_as_its_last_user() -> None:
    async with world(config_map("a")) as it:
        it.references.hold(pod("a", uid="one"))
        it.references.hold(pod("a", uid="two"))
        await it.synced()
        it.references.release("one")
        it.fake.add(config_map("a", "2"))
        await it.until(lambda: it.heard == ["two"])
        it.references.release("two")
        it.fake.add(config_map("a", "3"))
        await asyncio.sleep(0.01)
        assert it.heard == ["two"]
        assert await it.value("a") == "3"  # by asking: nobody watches any more


async def test_all_of_a_pod_and_what_there_is_not() -> None:
    async with world(config_map("a")) as it:
        found = await it.references.of(pod("a", "none"))
        assert found.keys() == {(CONFIG_MAPS, "a"), (CONFIG_MAPS, "none")}
        assert found[CONFIG_MAPS, "none"] is None and found[CONFIG_MAPS, "a"] is not None


async def test_a_refusal_is_no_absence() -> None:
    async with world() as it:
        it.fake.fail("get", "configmaps", status_error(403, "Forbidden", "no"))
        with pytest.raises(StatusError):
            await it.value("a")
