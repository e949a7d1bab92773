from __future__ import annotations

import asyncio
import time

from sampan.api.clock import format_time
from sampan.api.resources import EVENTS
from sampan.apiserver.conversion import storage_prefix
from sampan.apiserver.housekeeping import EVENT_LIFETIME_S, Housekeeping
from sampan.store.contract import StoreFull


async def say(api, name: str, seen: float) -> None:
    involved = {"kind": "Pod", "namespace": "default", "name": "web"}
    body = {"metadata": {"name": name}, "involvedObject": involved, "lastTimestamp": format_time(seen)}
    await api.create(EVENTS, body)


def names(api) -> list[str]:
    entries = api.server.hub.cache(storage_prefix(EVENTS)).entries
    return sorted(key.rpartition("/")[2] for key in entries)


async def test_an_event_goes_an_hour_after_it_was_last_seen(api) -> None:
    now = time.time()
    await say(api, "old", now - EVENT_LIFETIME_S)
    await say(api, "young", now - EVENT_LIFETIME_S + 10)
    await Housekeeping(api.server.hub, api.transport).expire_events(0, now)
    assert names(api) == ["young"]


async def test_events_written_within_the_hour_are_not_looked_at(api) -> None:
    now = time.time()
    housekeeping = Housekeeping(api.server.hub, api.transport)
    housekeeping.note(0)
    await say(api, "first", now)
    housekeeping.note(300)
    await say(api, "second", now + 300)
    await housekeeping.expire_events(3000, now + 3000)
    assert names(api) == ["first", "second"]
    await housekeeping.expire_events(300 + EVENT_LIFETIME_S, now + 300 + EVENT_LIFETIME_S)
    assert names(api) == ["second"]


async def test_a_clock_that_is_set_keeps_no_event_for_longer_and_none_for_less(api) -> None:
    now = time.time()
    housekeeping = Housekeeping(api.server.hub, api.transport)
    housekeeping.note(0)
    await say(api, "in-ten-years", now + 10 * 365 * 86400)
    housekeeping.note(300)
    await say(api, "now", now)
    await housekeeping.expire_events(600, now + 86400)
    assert names(api) == ["in-ten-years", "now"]
    await housekeeping.expire_events(300 + EVENT_LIFETIME_S, now - 86400)
    assert names(api) == ["now"]


async def test_a_full_disk_puts_it_off_and_does_not_end_it(api, monkeypatch) -> None:
    monkeypatch.setattr("sampan.apiserver.housekeeping.INTERVAL_S", 0.01)
    asked = asyncio.Queue()

    async def compact(revision: int) -> None:
        asked.put_nowait(revision)
        raise StoreFull("no space left")

    monkeypatch.setattr(api.server.store, "compact", compact)
    before = api.server.hub.revision
    task = asyncio.create_task(Housekeeping(api.server.hub, api.transport).run())
    async with asyncio.timeout(30):
        assert [await asked.get(), await asked.get()] == [before, before]
    task.cancel()
    await asyncio.wait([task])
