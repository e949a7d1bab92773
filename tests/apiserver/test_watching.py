from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from sampan.api.errors import StatusError
from sampan.api.request import WatchEvent
from sampan.api.resources import CONFIG_MAPS, PODS
from sampan.apiserver import sinks, watchcache


async def take(events: AsyncIterator[WatchEvent], count: int) -> list[tuple[str, str]]:
    async with asyncio.timeout(30):
        found = [await anext(events) for _ in range(count)]
    return [(event.type, event.object["metadata"].get("name", "")) for event in found]


async def make(api, name: str, **labels: str) -> str:
    made = await api.create(CONFIG_MAPS, {"metadata": {"name": name, "labels": labels}})
    return made["metadata"]["resourceVersion"]


async def test_without_a_revision_the_present_comes_first(api) -> None:
    await make(api, "a")
    events = api.watch(CONFIG_MAPS)
    assert await take(events, 1) == [("ADDED", "a")]
    await make(api, "b")
    await api.call("patch", CONFIG_MAPS, "a", {"data": {"k": "v"}})
    await api.call("delete", CONFIG_MAPS, "a")
    assert await take(events, 3) == [("ADDED", "b"), ("MODIFIED", "a"), ("DELETED", "a")]


async def test_from_a_revision_nothing_is_missed_and_nothing_comes_twice(api) -> None:
    revision = await make(api, "a")
    await make(api, "b")
    events = api.watch(CONFIG_MAPS, resourceVersion=revision)
    assert await take(events, 1) == [("ADDED", "b")]
    await make(api, "c")
    assert await take(events, 1) == [("ADDED", "c")]


async def test_initial_events_end_with_a_bookmark(api) -> None:
    await make(api, "a")
    events = api.watch(
        CONFIG_MAPS, sendInitialEvents="true", resourceVersionMatch="NotOlderThan", allowWatchBookmarks="true"
    )
    assert await take(events, 1) == [("ADDED", "a")]
    mark = await anext(events)
    assert mark.type == "BOOKMARK"
    assert mark.object["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
    assert int(mark.object["metadata"]["resourceVersion"]) == api.server.store.revision
    await make(api, "b")
    assert await take(events, 1) == [("ADDED", "b")]


async def test_entering_and_leaving_a_selection(api) -> None:
    await make(api, "a", app="x")
    await make(api, "other", app="y")
    events = api.watch(CONFIG_MAPS, labelSelector="app=x")
    assert await take(events, 1) == [("ADDED", "a")]
    left = await api.call("patch", CONFIG_MAPS, "a", {"metadata": {"labels": {"app": "y"}}})
    async with asyncio.timeout(30):
        gone = await anext(events)
    assert gone.type == "DELETED"
    assert gone.object["metadata"]["labels"] == {"app": "x"}  # as it was last seen there
    assert gone.object["metadata"]["resourceVersion"] == left["metadata"]["resourceVersion"]
    await api.call("patch", CONFIG_MAPS, "a", {"metadata": {"labels": {"app": "x"}}})
    await api.call("delete", CONFIG_MAPS, "other")
    await api.call("delete", CONFIG_MAPS, "a")
    assert await take(events, 2) == [("ADDED", "a"), ("DELETED", "a")]


async def test_a_deleted_object_carries_the_revision_of_its_deletion(api) -> None:
    revision = await make(api, "a")
    events = api.watch(CONFIG_MAPS, resourceVersion=revision)
    first = asyncio.ensure_future(anext(events))
    await asyncio.sleep(0)
    await api.call("delete", CONFIG_MAPS, "a")
    gone = await first
    assert int(gone.object["metadata"]["resourceVersion"]) == api.server.store.revision


async def test_one_name_is_watched_alone(api) -> None:
    await make(api, "a")
    events = api.watch(CONFIG_MAPS, fieldSelector="metadata.name=b")
    first = asyncio.ensure_future(anext(events))
    await asyncio.sleep(0)
    await make(api, "b")
    assert (await first).object["metadata"]["name"] == "b"


async def test_what_the_cache_has_forgotten_comes_from_the_store(api, monkeypatch) -> None:
    monkeypatch.setattr(watchcache, "RING_SIZE", 2)
    revision = await make(api, "a")
    for name in "bcde":
        await make(api, name)
    events = api.watch(CONFIG_MAPS, resourceVersion=revision)
    assert await take(events, 4) == [("ADDED", name) for name in "bcde"]
    await make(api, "f")
    assert await take(events, 1) == [("ADDED", "f")]


async def test_what_everybody_has_forgotten_is_expired(api, monkeypatch) -> None:
    monkeypatch.setattr(watchcache, "RING_SIZE", 2)
    revision = await make(api, "a")
    for name in "bcde":
        await make(api, name)
    await api.server.store.compact(api.server.store.revision)
    with pytest.raises(StatusError) as caught:
        await anext(api.watch(CONFIG_MAPS, resourceVersion=revision))
    assert (caught.value.code, caught.value.reason) == (410, "Expired")
    assert caught.value.message.startswith(f"too old resource version: {revision} (")


async def test_a_watcher_that_falls_behind_is_dropped_and_nobody_waits(api, monkeypatch) -> None:
    monkeypatch.setattr(sinks, "QUEUE_LIMIT", 3)
    events = api.watch(CONFIG_MAPS, resourceVersion=str(api.server.store.revision))
    first = asyncio.ensure_future(anext(events))
    await asyncio.sleep(0)
    for number in range(10):
        await make(api, f"c{number}")
    assert (await first).type == "ADDED"
    with pytest.raises(StatusError) as caught:
        await anext(events)
    assert caught.value.code == 410


async def test_a_watch_ends_in_its_time(api) -> None:
    events = api.watch(CONFIG_MAPS, timeoutSeconds="1", resourceVersion=str(api.server.store.revision))
    async with asyncio.timeout(30):
        assert [event async for event in events] == []


async def test_bookmarks_tell_how_far_the_world_has_come(api) -> None:
    events = api.watch(
        CONFIG_MAPS, allowWatchBookmarks="true", resourceVersion=str(api.server.store.revision)
    )
    first = asyncio.ensure_future(anext(events))
    await asyncio.sleep(0)
    await api.create(PODS, {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "x"}]}})
    api.server.hub.bookmark()
    mark = await first
    assert mark.type == "BOOKMARK" and mark.object["kind"] == "ConfigMap"
    assert int(mark.object["metadata"]["resourceVersion"]) == api.server.store.revision


async def test_stopping_the_server_ends_watches(api) -> None:
    events = api.watch(CONFIG_MAPS, resourceVersion=str(api.server.store.revision))
    first = asyncio.ensure_future(anext(events, None))
    await asyncio.sleep(0)
    api.server.hub.shut()
    assert await first is None


@pytest.mark.parametrize(
    "params",
    [{"sendInitialEvents": "true"}, {"resourceVersionMatch": "NotOlderThan", "resourceVersion": "1"}],
)
async def test_options_that_contradict_each_other_are_invalid(api, params) -> None:
    with pytest.raises(StatusError) as caught:
        await anext(api.watch(CONFIG_MAPS, **params))
    assert caught.value.code == 422
