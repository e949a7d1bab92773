"""What has to be thrown away from time to time: old revisions, old Events."""

from __future__ import annotations

import asyncio
import time

from sampan.api import clock
from sampan.api.errors import StatusError
from sampan.api.objects import Obj
from sampan.api.request import Request, Transport
from sampan.api.resources import EVENTS
from sampan.apiserver.conversion import storage_prefix
from sampan.apiserver.watchcache import Hub

INTERVAL_S = 300.0
EVENT_LIFETIME_S = 3600.0


class Housekeeping:
    """Keeps history for one to two intervals, Events for an hour."""

    def __init__(self, hub: Hub, transport: Transport) -> None:
        self._hub = hub
        self._transport = transport

    async def run(self) -> None:
        before = self._hub.revision
        while True:
            await asyncio.sleep(INTERVAL_S)
            await self.expire_events(time.time())
            now = self._hub.revision
            await self._hub.store.compact(before)
            before = now

    async def expire_events(self, now: float) -> None:
        entries = list(self._hub.cache(storage_prefix(EVENTS)).entries.values())
        for entry in entries:
            if now - _last_seen(entry.obj) < EVENT_LIFETIME_S:
                continue
            fields = entry.obj["metadata"]
            request = Request("delete", EVENTS, fields["namespace"], fields["name"])
            try:
                await self._transport.call(request)
            except StatusError as error:
                if error.code not in (404, 409):
                    raise


def _last_seen(event: Obj) -> float:
    series = event.get("series") or {}
    moment = (
        series.get("lastObservedTime")
        or event.get("lastTimestamp")
        or event.get("eventTime")
        or event["metadata"]["creationTimestamp"]
    )
    return clock.parse_time(moment)
