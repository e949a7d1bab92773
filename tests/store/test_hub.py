from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest

from sampan.store.contract import Event, WatcherTooSlow
from sampan.store.hub import Hub


def event(revision: int, key: str = "/a") -> Event:
    return Event(key, b"", revision, False, None)


async def past(gate: asyncio.Event, *events: Event) -> AsyncIterator[Sequence[Event]]:
    await gate.wait()
    yield events


async def test_the_past_comes_before_what_was_published_meanwhile() -> None:
    hub, gate = Hub(), asyncio.Event()
    watch = hub.watch("/", past(gate, event(1)))
    reading = asyncio.ensure_future(anext(watch))
    hub.publish([event(2)])
    await asyncio.sleep(0)
    assert not reading.done()
    gate.set()
    assert await reading == (event(1),)
    assert await anext(watch) == [event(2)]


async def test_a_watcher_that_lags_during_its_replay_is_dropped_too() -> None:
    hub, gate = Hub(most=2), asyncio.Event()
    gate.set()
    watch = hub.watch("/", past(gate, event(1)))
    for revision in (2, 3, 4):
        hub.publish([event(revision)])
    with pytest.raises(WatcherTooSlow):
        await anext(watch)


async def test_one_batch_is_taken_whatever_its_size() -> None:
    hub = Hub(most=2)
    watch = hub.watch("/", None)
    hub.publish([event(revision) for revision in range(1, 6)])
    assert len(await anext(watch)) == 5


async def test_a_reader_that_leaves_is_forgotten() -> None:
    hub = Hub()
    watch = hub.watch("/a", None)
    reading = asyncio.ensure_future(anext(watch))
    await asyncio.sleep(0)
    reading.cancel()
    await asyncio.wait([reading])
    await watch.aclose()
    assert not hub._watchers
    with pytest.raises(StopAsyncIteration):
        await anext(watch)


async def test_ending_in_the_middle_of_the_past_shows_no_gap() -> None:
    hub, gate = Hub(), asyncio.Event()
    watch = hub.watch("/", past(gate, event(1)))
    hub.publish([event(2)])
    hub.close()
    with pytest.raises(StopAsyncIteration):
        await anext(watch)
