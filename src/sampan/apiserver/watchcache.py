"""What the store holds, in memory: serves GET, LIST and WATCH for all resources.

One task (`Hub.run`) reads the store's events in revision order and applies each batch in one step: caches
first, then watchers. A writer is answered only after `Hub.applied` says that its own event has passed here,
so the cache is always current: whoever reads after a write sees it.

All state belongs to the event loop's thread; a step between two awaits is atomic, and that is the only lock.
A `Sink` is called in that step and must not wait: one that cannot keep up drops itself.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from bisect import bisect_left, insort
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Protocol

from sampan.api import errors
from sampan.apiserver.entry import Entry, event_line
from sampan.apiserver.exchange import chunk
from sampan.store.contract import Event, Store, WatcherTooSlow

ROOT = "/registry/"
RING_SIZE = 1024
RING_BYTES = 1 << 20
"""What a cache remembers of its past at most, in changes and in bytes; beyond that the store knows it."""


class Change:
    """One event of a resource. `previous` is None for ADDED; for DELETED `entry` is the last state."""

    __slots__ = ("_line", "entry", "previous", "revision", "type")

    def __init__(self, kind: str, entry: Entry, previous: Entry | None) -> None:
        self.type = kind
        self.entry = entry
        self.previous = previous
        self.revision = entry.revision
        self._line: bytes | None = None

    @property
    def line(self) -> bytes:
        """The event as one line of JSON in one HTTP chunk: encoded once for all watchers."""
        if self._line is None:
            self._line = chunk(event_line(self.type, self.entry.value))
        return self._line

    def settle(self) -> None:
        """Everybody has seen it: keeps no more than the bytes, from which the rest can be made again."""
        self._line = None
        if self.previous is not None:
            self.previous.forget()
        if self.type == "DELETED":
            self.entry.forget()


class Batch:
    """Changes of one resource that became visible together, in revision order."""

    __slots__ = ("_lines", "_within", "changes")

    def __init__(self, changes: list[Change]) -> None:
        self.changes = changes
        self._lines: bytes | None = None
        self._within: dict[str, Batch | None] = {}  # None: all of it

    @property
    def lines(self) -> bytes:
        if self._lines is None:
            changes = self.changes
            self._lines = changes[0].line if len(changes) == 1 else b"".join([c.line for c in changes])
        return self._lines

    def within(self, prefix: str) -> Batch | None:
        """The part of it below a key prefix, shared by all watchers of that namespace; None if empty."""
        if prefix not in self._within:
            changes = [c for c in self.changes if c.entry.key.startswith(prefix)]
            self._within[prefix] = None if len(changes) == len(self.changes) else Batch(changes)
        part = self._within[prefix] or self
        return part if part.changes else None


class Sink(Protocol):
    """A watcher. `prefix` is what it wants to see of the keys."""

    prefix: str

    def offer(self, batch: Batch) -> None: ...

    def bookmark(self, revision: int) -> None: ...

    def shut(self) -> None:
        """The server ends the watch."""


class Cache:
    """All objects of one resource, its recent changes and its watchers."""

    def __init__(self, prefix: str, revision: int) -> None:
        self.prefix = prefix
        self.entries: dict[str, Entry] = {}
        self.changed = revision  # revision of the newest change, or of loading
        self._keys: list[str] | None = []  # sorted; None: to be sorted again
        self._ring: deque[Change] = deque()
        self._ring_bytes = 0  # of the entries' values
        self._ring_after = revision  # every change newer than this is in the ring
        self._sinks: dict[Sink, None] = {}
        self.listeners: list[Callable[[Change], None]] = []

    def get(self, key: str) -> Entry | None:
        return self.entries.get(key)

    def scan(self, prefix: str, after: str = "") -> Iterator[Entry]:
        """Entries below a key prefix in key order, those beyond key `after`."""
        keys = self._sorted()
        start = bisect_left(keys, after + "\0" if after else prefix)
        if prefix == self.prefix:
            stop = len(keys)
        else:
            stop = bisect_left(keys, prefix[:-1] + chr(ord(prefix[-1]) + 1))
        entries = self.entries
        return (entries[key] for key in keys[start:stop])

    def since(self, revision: int) -> list[Change] | None:
        """Changes after a revision, or None if the ring no longer reaches back that far."""
        if revision >= self.changed:
            return []
        if revision < self._ring_after:
            return None
        newer = itertools.takewhile(lambda change: change.revision > revision, reversed(self._ring))
        return list(newer)[::-1]

    async def appears(self, key: str, timeout_s: float) -> Entry | None:
        """The entry once it is there, or None when it does not come in time."""
        arrived = asyncio.Event()

        def look(change: Change) -> None:
            if change.entry.key == key:
                arrived.set()

        self.listeners.append(look)
        try:
            with suppress(TimeoutError):
                await asyncio.wait_for(arrived.wait(), timeout_s)
        finally:
            self.listeners.remove(look)
        return self.entries.get(key)

    def attach(self, sink: Sink) -> None:
        self._sinks[sink] = None

    def detach(self, sink: Sink) -> None:
        self._sinks.pop(sink, None)

    @property
    def sinks(self) -> list[Sink]:
        return list(self._sinks)

    def load(self, entry: Entry) -> None:
        self.entries[entry.key] = entry
        self._keys = None

    def apply(self, event: Event) -> Change | None:
        entry = Entry(event.key, event.value, event.revision)
        if event.deleted:
            previous = self.entries.pop(event.key, None)
            if previous is None:
                return None
            change = Change("DELETED", entry, previous)
            if self._keys is not None:
                del self._keys[bisect_left(self._keys, event.key)]
        else:
            previous = self.entries.get(event.key)
            self.entries[event.key] = entry
            change = Change("MODIFIED" if previous is not None else "ADDED", entry, previous)
            if previous is None and self._keys is not None:
                insort(self._keys, event.key)
        self.changed = event.revision
        self._remember(change)
        for listener in tuple(self.listeners):
            listener(change)
        return change

    def dispatch(self, changes: list[Change]) -> None:
        """Shows changes to the watchers; they are settled after that."""
        if self._sinks:
            batch = Batch(changes)
            for sink in list(self._sinks):
                part = batch if sink.prefix == self.prefix else batch.within(sink.prefix)
                if part is not None:
                    sink.offer(part)
        for change in changes:
            change.settle()

    def _remember(self, change: Change) -> None:
        ring = self._ring
        ring.append(change)
        self._ring_bytes += len(change.entry.value)
        while ring and (len(ring) > RING_SIZE or self._ring_bytes > RING_BYTES):
            oldest = ring.popleft()
            self._ring_bytes -= len(oldest.entry.value)
            self._ring_after = oldest.revision

    def _sorted(self) -> list[str]:
        if self._keys is None:
            self._keys = sorted(self.entries)
        return self._keys


class Hub:
    """The caches of all resources and the revision they have reached together."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.revision = 0
        self._caches: dict[str, Cache] = {}
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._order = itertools.count()

    async def open(self) -> None:
        """Loads everything the store holds, as of one revision."""
        listing = await self.store.list(ROOT)
        self.revision = listing.revision
        for stored in listing.items:
            cache = self.cache(prefix_of(stored.key))
            cache.load(Entry(stored.key, stored.value, stored.revision))

    def cache(self, prefix: str) -> Cache:
        cache = self._caches.get(prefix)
        if cache is None:
            cache = self._caches[prefix] = Cache(prefix, self.revision)
        return cache

    @property
    def caches(self) -> list[Cache]:
        return list(self._caches.values())

    async def run(self) -> None:
        """Follows the store until cancelled or the store is closed."""
        try:
            while True:
                try:
                    async for batch in self.store.watch(ROOT, after=self.revision):
                        self._apply(batch)
                    return
                except WatcherTooSlow:
                    continue  # the store keeps history: go on where we are
        finally:
            self._give_up()

    async def applied(self, revision: int) -> None:
        """Returns once the caches show `revision` and all before it."""
        if revision <= self.revision:
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (revision, next(self._order), future))
        await future

    async def reaches(self, revision: int, timeout_s: float) -> bool:
        """Whether the caches show `revision` within `timeout_s`."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self.applied(revision), timeout_s)
        return self.revision >= revision

    def bookmark(self) -> None:
        """Tells every watcher how far the world has come."""
        for cache in self._caches.values():
            for sink in cache.sinks:
                sink.bookmark(self.revision)

    def shut(self) -> None:
        """Ends every watch."""
        for cache in self._caches.values():
            for sink in cache.sinks:
                sink.shut()

    def _give_up(self) -> None:
        """Nobody will see what is still waited for."""
        for _, _, future in self._waiting:
            if not future.done():
                future.set_exception(errors.unavailable("the server is stopping"))
        self._waiting.clear()

    def _apply(self, events: Sequence[Event]) -> None:
        touched: dict[Cache, list[Change]] = {}
        for event in events:
            cache = self.cache(prefix_of(event.key))
            change = cache.apply(event)
            if change is not None:
                touched.setdefault(cache, []).append(change)
        if events:
            self.revision = max(self.revision, events[-1].revision)
        while self._waiting and self._waiting[0][0] <= self.revision:
            future = heapq.heappop(self._waiting)[2]
            if not future.done():
                future.set_result(None)
        for cache, changes in touched.items():
            cache.dispatch(changes)


def prefix_of(key: str) -> str:
    """`/registry/core/pods/` of `/registry/core/pods/default/web`."""
    return key[: key.index("/", key.index("/", len(ROOT)) + 1) + 1]
