from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from sampan.api.errors import StatusError
from sampan.api.objects import Obj
from sampan.api.resources import CONFIG_MAPS, EVENTS, NODES
from sampan.apiserver.conversion import NEW_EVENTS
from sampan.apiserver.entry import stamp
from sampan.apiserver.storage import Storage, key_for, scope_prefix
from sampan.apiserver.watchcache import Hub
from sampan.store.contract import ABSENT, Delete, Put, StoreError, StoreFull, TxnConflict
from sampan.store.memory import MemoryStore


class Medium(MemoryStore):
    """A store whose next transaction may fail."""

    fault: StoreError | None = None

    async def txn(self, ops: Any) -> list[int]:
        if self.fault is not None:
            raise self.fault
        return await super().txn(ops)


@pytest.fixture
async def medium() -> AsyncIterator[Medium]:
    store = Medium()
    await store.open()
    yield store
    await store.close()


@pytest.fixture
async def storage(medium: Medium) -> AsyncIterator[Storage]:
    hub = Hub(medium)
    await hub.open()
    following = asyncio.create_task(hub.run())
    yield Storage(medium, hub)
    await medium.close()
    await following


def put(name: str, expect: int | None = ABSENT, **data: str) -> Put:
    obj: Obj = {"metadata": {"name": name, "namespace": "default"}, "data": data}
    return Put(key_for(CONFIG_MAPS, "default", name), stamp(obj), expect)


def test_a_key_is_group_plural_namespace_and_name() -> None:
    assert key_for(CONFIG_MAPS, "default", "a") == "/registry/core/configmaps/default/a"
    assert key_for(NODES, "", "n1") == "/registry/core/nodes/n1"


def test_a_resource_served_twice_has_one_place() -> None:
    assert key_for(NEW_EVENTS, "default", "a") == key_for(EVENTS, "default", "a")


def test_no_namespace_means_all_of_them() -> None:
    assert scope_prefix(CONFIG_MAPS, "") == "/registry/core/configmaps/"
    assert scope_prefix(CONFIG_MAPS, "default") == "/registry/core/configmaps/default/"
    assert scope_prefix(NODES, "ignored") == "/registry/core/nodes/"


async def test_who_was_answered_finds_what_he_wrote(storage: Storage) -> None:
    entry = await storage.put(CONFIG_MAPS, put("a", k="v"))
    assert storage.find(CONFIG_MAPS, "default", "a") is entry
    assert entry.obj["metadata"]["resourceVersion"] == str(entry.revision)


async def test_companions_are_written_in_the_same_breath_or_not_at_all(storage: Storage) -> None:
    await storage.put(CONFIG_MAPS, put("a"), [put("b")])
    with pytest.raises(TxnConflict):
        await storage.put(CONFIG_MAPS, put("c"), [put("b")])
    found = [entry.key.rpartition("/")[2] for entry in storage.cache(CONFIG_MAPS).scan("/registry/")]
    assert found == ["a", "b"]


async def test_what_was_overtaken_meanwhile_is_answered_as_it_was_written(storage: Storage) -> None:
    entry = await storage.put(CONFIG_MAPS, put("a", None, n="0"))
    entries = await asyncio.gather(*(storage.put(CONFIG_MAPS, put("a", None, n=str(n))) for n in range(9)))
    assert [entry.obj["data"]["n"] for entry in entries] == [str(n) for n in range(9)]
    assert [written.revision - entry.revision for written in entries] == list(range(1, 10))


async def test_who_lost_sees_what_he_lost_against(storage: Storage) -> None:
    entry = await storage.put(CONFIG_MAPS, put("a"))
    with pytest.raises(TxnConflict) as caught:
        await storage.put(CONFIG_MAPS, put("a"))
    await storage.catch_up(caught.value)
    assert caught.value.current is not None and caught.value.current.revision == entry.revision
    await storage.commit(Delete(entry.key))
    with pytest.raises(TxnConflict) as caught:
        await storage.put(CONFIG_MAPS, put("a", entry.revision))
    await storage.catch_up(caught.value)
    assert storage.find(CONFIG_MAPS, "default", "a") is None


async def test_who_lost_waits_for_a_cache_that_is_behind(medium: Medium) -> None:
    hub = Hub(medium)
    await hub.open()
    storage = Storage(medium, hub)
    await medium.txn([put("a")])
    with pytest.raises(TxnConflict) as caught:
        await medium.txn([put("a")])
    waiting = asyncio.create_task(storage.catch_up(caught.value))
    await asyncio.sleep(0)
    assert not waiting.done()
    following = asyncio.create_task(hub.run())
    async with asyncio.timeout(30):
        await waiting
    assert storage.find(CONFIG_MAPS, "default", "a") is not None
    await medium.close()
    await following


@pytest.mark.parametrize(
    ("fault", "code", "said"),
    [
        (StoreFull("disk full"), 500, "nothing was written, the store takes no writes (disk full)"),
        (StoreError("gone"), 503, "the store does not answer: gone"),
    ],
)
async def test_a_store_that_fails_is_told_to_the_client(
    storage: Storage, medium: Medium, fault: StoreError, code: int, said: str
) -> None:
    medium.fault = fault
    with pytest.raises(StatusError) as caught:
        await storage.put(CONFIG_MAPS, put("a"))
    assert caught.value.code == code
    assert said in caught.value.status["message"]
