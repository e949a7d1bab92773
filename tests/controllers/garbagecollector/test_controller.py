"""Owners and dependents over an API server in memory."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager

import pytest

from harness.world import World as BaseWorld
from harness.world import running
from sampan.api.objects import Obj
from sampan.api.resources import CONFIG_MAPS, PODS
from sampan.controllers.garbagecollector.controller import GarbageCollector, collected_resources


def config_map(name: str, *owners: str, block: bool = True) -> Obj:
    references = [
        {"apiVersion": "v1", "kind": "ConfigMap", "name": owner, "uid": owner, "blockOwnerDeletion": block}
        for owner in owners
    ]
    metadata: Obj = {"name": name, "namespace": "default", "uid": name}
    if references:
        metadata["ownerReferences"] = references
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}


class World(BaseWorld):
    def names(self) -> set[str]:
        return {obj["metadata"]["name"] for obj in self.fake.objects(CONFIG_MAPS)}

    def owners(self, name: str) -> set[str]:
        found = self.fake.get(CONFIG_MAPS, name, "default")
        assert found is not None
        return {ref["name"] for ref in found["metadata"].get("ownerReferences") or ()}

    async def delete(self, name: str, propagation: str) -> None:
        await self.client.delete(CONFIG_MAPS, name, namespace="default", propagation=propagation)

    def state(self) -> object:
        return self.names()


def world(*objects: Obj) -> AbstractAsyncContextManager[World]:
    return running(World(*objects), GarbageCollector)


async def test_background_takes_the_whole_tree() -> None:
    tree = [config_map("a"), config_map("b", "a"), config_map("c", "b"), config_map("other")]
    async with world(*tree) as it:
        await it.delete("a", "Background")
        await it.until(lambda: it.names() == {"other"})


async def test_foreground_ends_with_the_owner() -> None:
    async with world(config_map("a"), config_map("b", "a"), config_map("c", "b")) as it:
        await it.delete("a", "Foreground")
        await it.until(lambda: not it.names())
        deleted = [action for action in it.fake.actions if action.verb == "delete"]
        assert [action.key for action in deleted] == ["default/a", "default/b", "default/c"]


async def test_foreground_waits_for_a_dependent_that_is_held() -> None:
    held = config_map("b", "a")
    held["metadata"]["finalizers"] = ["example.com/hold"]
    async with world(config_map("a"), held) as it:
        await it.delete("a", "Foreground")
        await asyncio.sleep(0.05)
        assert it.names() == {"a", "b"}
        it.fake.remove(CONFIG_MAPS, "b", "default")
        await it.until(lambda: not it.names())


async def test_foreground_waits_for_no_dependent_that_does_not_block() -> None:
    held = config_map("b", "a", block=False)
    held["metadata"]["finalizers"] = ["example.com/hold"]
    async with world(config_map("a"), held) as it:
        await it.delete("a", "Foreground")
        await it.until(lambda: it.names() == {"b"})


async def test_orphans_are_cut_loose_and_stay() -> None:
    async with world(config_map("a"), config_map("b", "a"), config_map("c", "a")) as it:
        await it.delete("a", "Orphan")
        await it.until(lambda: it.names() == {"b", "c"})
        await asyncio.sleep(0.05)
        assert it.names() == {"b", "c"}
        assert it.owners("b") == it.owners("c") == set()


@pytest.mark.parametrize("propagation", ["Background", "Foreground"])
async def test_a_second_owner_keeps_it(propagation: str) -> None:
    async with world(config_map("a"), config_map("z"), config_map("b", "a", "z")) as it:
        await it.delete("a", propagation)
        await it.until(lambda: it.names() == {"z", "b"} and it.owners("b") == {"z"})


@pytest.mark.parametrize("propagation", ["Background", "Foreground"])
async def test_a_circle_goes_as_a_whole(propagation: str) -> None:
    async with world(config_map("a", "c"), config_map("b", "a"), config_map("c", "b")) as it:
        await it.delete("a", propagation)
        await it.until(lambda: not it.names())


async def test_an_owner_that_never_was_is_found_at_the_start_and_later() -> None:
    async with world(config_map("lost", "nobody")) as it:
        await it.until(lambda: not it.names())
        it.fake.add(config_map("lost-too", "nobody"))
        await it.until(lambda: not it.names())


async def test_a_namesake_of_the_owner_is_not_the_owner() -> None:
    async with world(config_map("a"), config_map("b", "a")) as it:
        namesake = config_map("a")
        namesake["metadata"]["uid"] = "another"
        it.fake.remove(CONFIG_MAPS, "a", "default")
        it.fake.add(namesake)
        await it.until(lambda: it.names() == {"a"})


def test_it_follows_everything_but_events() -> None:
    names = [resource.qualified for resource in collected_resources()]
    assert PODS.qualified in names
    assert "nodes" in names
    assert not any("events" in name for name in names)
    assert len(names) == len(set(names))
