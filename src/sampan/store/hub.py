"""Fan-out of events to watchers. Everything here runs on the event loop; `publish` never waits.

A watcher registers at the hub's present revision. What happened before comes from a replay that the store
provides; what happens after is buffered for it from the first moment. So nothing is missed or seen twice,
however long the replay takes.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence

from sampan.store.contract import Event, StoreError, WatcherTooSlow

BUFFER_MOST = 10_000
"""Events that wait for one watcher before it is dropped."""


class Watcher(AsyncIterator[Sequence[Event]]):
    """One reader's end. Must be read by one task at a time."""

    def __init__(self, hub: Hub, prefix: str, past: AsyncIterator[Sequence[Event]] | None, most: int) -> None:
        self.prefix = prefix
        self._hub = hub
        self._past = past
        """The replay; None once it is through."""
        self._most = most
        self._batches: deque[Sequence[Event]] = deque()
        self._waiting = 0
        """Events in `_batches`."""
        self._reader: asyncio.Future[None] | None = None
        self._ended = False
        self._error: StoreError | None = None

    def push(self, batch: Sequence[Event]) -> bool:
        """Buffers a batch; False if the reader is too far behind, and has been given up.

        One batch is taken whatever its size: it was one transaction, or came in one commit.
        """
        if self._batches and self._waiting + len(batch) > self._most:
            self.end(WatcherTooSlow(f"{self._waiting} events waited to be read"))
            self._batches.clear()
            return False
        self._batches.append(batch)
        self._waiting += len(batch)
        self._wake()
        return True

    def end(self, error: StoreError | None = None) -> None:
        """No more batches will come; those buffered are handed out, if nothing before them is missing."""
        self._ended, self._error = True, error
        if self._past is not None:
            self._past = None
            self._batches.clear()
        self._wake()

    async def __anext__(self) -> Sequence[Event]:
        if self._past is not None:
            try:
                return await anext(self._past)
            except StopAsyncIteration:
                self._past = None
            except StoreError:
                self._hub.drop(self)
                self.end()
                raise
        while not self._batches:
            if self._ended:
                if (error := self._error) is not None:
                    self._error = None
                    raise error
                raise StopAsyncIteration
            self._reader = asyncio.get_running_loop().create_future()
            await self._reader
        batch = self._batches.popleft()
        self._waiting -= len(batch)
        return batch

    async def aclose(self) -> None:
        """The reader leaves."""
        self._hub.drop(self)
        self._batches.clear()
        self.end()

    def _wake(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)


class Hub:
    def __init__(self, most: int = BUFFER_MOST) -> None:
        self._most = most
        self._watchers: dict[str, set[Watcher]] = {}
        """By prefix, so that a batch is filtered once for all who share one. No prefix without watchers."""

    def watch(self, prefix: str, past: AsyncIterator[Sequence[Event]] | None) -> Watcher:
        """Registers a watcher of what is published from now on; `past` is what it reads before that."""
        watcher = Watcher(self, prefix, past, self._most)
        self._watchers.setdefault(prefix, set()).add(watcher)
        return watcher

    def refuse(self, prefix: str, error: StoreError) -> Watcher:
        """A watcher that learns why it cannot be one."""
        watcher = Watcher(self, prefix, None, self._most)
        watcher.end(error)
        return watcher

    def publish(self, events: Sequence[Event]) -> None:
        slow: list[Watcher] = []
        for prefix, watchers in self._watchers.items():
            batch = [event for event in events if event.key.startswith(prefix)]
            if batch:
                slow += [watcher for watcher in watchers if not watcher.push(batch)]
        for watcher in slow:
            self.drop(watcher)

    def drop(self, watcher: Watcher) -> None:
        watchers = self._watchers.get(watcher.prefix)
        if watchers is not None:
            watchers.discard(watcher)
            if not watchers:
                del self._watchers[watcher.prefix]

    def close(self) -> None:
        """Ends all watches after what they have buffered."""
        for watchers in self._watchers.values():
            for watcher in watchers:
                watcher.end()
        self._watchers.clear()
