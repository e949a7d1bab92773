"""What has to be thrown away from time to time: old revisions, old Events."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque

from sampan.api import clock
from sampan.api.errors import StatusError
from sampan.api.objects import Obj
from sampan.api.request import Request, Transport
from sampan.api.resources import EVENTS
from sampan.apiserver.conversion import storage_prefix
from sampan.apiserver.watchcache import Hub
from sampan.store.contract import StoreError

INTERVAL_S = 300.0
EVENT_LIFETIME_S = 3600.0

log = logging.getLogger(__name__)


class Housekeeping:
    """Keeps history for one to two intervals, Events for an hour.

    How old an Event is tells the revision at which it was written last, by a clock that nobody sets; only of
    those written before this process began the Event itself is asked.
    """

    def __init__(self, hub: Hub, transport: Transport) -> None:
        self._hub = hub
        self._transport = transport
        self._reached: deque[tuple[float, int]] = deque()
        """When, by that clock, the store had come to which revision: in the beginning or an hour ago, and
        since then."""

    async def run(self) -> None:
        before = self._hub.revision
        while True:
            self.note(time.monotonic())
            await asyncio.sleep(INTERVAL_S)
            now = self._hub.revision
            try:
                await self.expire_events(time.monotonic(), time.time())
                await self._hub.store.compact(before)
            except (StatusError, StoreError) as error:  # a full disk, say; it will not always be full
                log.warning("old Events and revisions stay for now: %s", error)
            else:
                before = now

    def note(self, now: float) -> None:
        self._reached.append((now, self._hub.revision))

    async def expire_events(self, now: float, wall: float) -> None:
        oldest = now - EVENT_LIFETIME_S
        while len(self._reached) > 1 and self._reached[1][0] <= oldest:
            self._reached.popleft()
        # An Event is written whenever it is seen: what was written since is too young, without a look at it.
        noted, written_before = self._reached[0] if self._reached else (now, self._hub.revision)
        entries = self._hub.cache(storage_prefix(EVENTS)).entries.values()
        for entry in [entry for entry in entries if entry.revision <= written_before]:
            event = entry.obj
            if noted <= oldest or _last_seen(event) <= wall - EVENT_LIFETIME_S:
                await self._delete(event)

    async def _delete(self, event: Obj) -> None:
        fields = event["metadata"]
        try:
            await self._transport.call(Request("delete", EVENTS, fields["namespace"], fields["name"]))
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
