"""A store that forgets everything with its process: for tests, and for clusters that need not survive."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import TypeAlias

from sampan.store.contract import Event, FutureRevision, Listing, Op, Revisions, Stored, StoreError
from sampan.store.hub import BUFFER_MOST, Hub
from sampan.store.state import Change, State, plan

History: TypeAlias = list[tuple[Change, Event]]


class MemoryStore:
    """Keeps `store.contract.Store`; "durable" here is "in this list"."""

    def __init__(self, *, watch_buffer: int = BUFFER_MOST) -> None:
        self._state = State()
        self._hub = Hub(watch_buffer)
        self._history: History = []
        """All changes after `_compacted`, in revision order."""
        self._compacted = 0
        self._open = False

    async def open(self) -> None:
        self._open = True

    async def close(self) -> None:
        self._open = False
        self._hub.close()

    @property
    def revision(self) -> int:
        return self._state.revision

    async def get(self, key: str) -> Stored | None:
        return self._state.get(key)

    async def list(self, prefix: str, *, revision: int = 0, limit: int = 0, after: str = "") -> Listing:
        if not revision or revision == self.revision:
            return self._state.list(prefix, limit, after)
        self._state.check(revision, self._compacted)
        changed: dict[str, Stored | None] = {}
        for change, event in self._since(revision):
            before = None
            if event.previous is not None:
                before = Stored(change.key, event.previous, change.previous, change.created)
            changed.setdefault(change.key, before)
        return self._state.list_before(changed, revision, prefix, limit, after)

    async def txn(self, ops: Sequence[Op]) -> Revisions:
        if not self._open:
            raise StoreError("the store is closed")
        planned = plan(ops, self._state.get, self.revision)
        events = self._state.apply(planned.changes)
        self._history += zip(planned.changes, events, strict=True)
        self._hub.publish(events)
        await asyncio.sleep(0)  # as with a real medium, others get their turn before the answer
        return planned.answers

    def watch(self, prefix: str, *, after: int) -> AsyncIterator[Sequence[Event]]:
        try:
            self._state.check(after, self._compacted)
        except StoreError as error:
            return self._hub.refuse(prefix, error)
        if after == self.revision:
            return self._hub.watch(prefix, None)
        return self._hub.watch(prefix, self._replay(prefix, after, self.revision))

    async def compact(self, revision: int) -> None:
        if revision > self.revision:
            raise FutureRevision(revision, self.revision)
        self._history = self._since(revision)
        self._compacted = max(self._compacted, revision)

    async def defragment(self) -> None:
        """Nothing is ever in pieces here."""

    async def _replay(self, prefix: str, after: int, upto: int) -> AsyncIterator[Sequence[Event]]:
        self._state.check(after, self._compacted)
        past = [
            event
            for change, event in self._since(after)
            if change.revision <= upto and change.key.startswith(prefix)
        ]
        if past:
            yield past

    def _since(self, revision: int) -> History:
        # One row per revision: the position follows from the number.
        return self._history[max(revision - self._compacted, 0) :]
