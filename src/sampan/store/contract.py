"""The store's contract. Whoever keeps it can hold a cluster's state.

- One revision counter for all keys. It grows with every change, by one, and is never handed out twice, not
  even after a crash.
- A write is answered, and shown to readers and watchers, only once it is durable.
- `txn` is all or nothing. Each operation in it gets a revision of its own, in order; watchers get all events
  of a transaction in one batch.
- Watchers get every event after the revision they ask for, in revision order, exactly once. A watcher that
  does not keep up is dropped (its iterator raises `WatcherTooSlow`); no writer ever waits for it.
- A revision older than the compacted one answers `Compacted`.
- Bytes handed out are the caller's to keep; nothing is copied or changed afterwards.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, TypeAlias


class StoreError(Exception):
    """Root of what a store can answer besides data."""


class Compacted(StoreError):
    """The revision asked for is no longer kept; `oldest` is."""

    def __init__(self, asked: int, oldest: int) -> None:
        super().__init__(f"revision {asked} has been compacted; oldest kept is {oldest}")
        self.asked, self.oldest = asked, oldest


class FutureRevision(StoreError):
    """The revision asked for has not happened yet."""

    def __init__(self, asked: int, current: int) -> None:
        super().__init__(f"revision {asked} is in the future; current is {current}")
        self.asked, self.current = asked, current


class WatcherTooSlow(StoreError):
    """The watcher's buffer was full; it must list again."""


class StoreDamaged(StoreError):
    """What lies on the medium is no store, or no whole one."""


class StoreFull(StoreError):
    """The medium takes no more writes (disk full, read-only, I/O error). Nothing of the txn was kept."""


class Stored(NamedTuple):
    """One key at one revision. `created` is the revision that brought it into being."""

    key: str
    value: bytes
    revision: int
    created: int


class TxnConflict(StoreError):
    """A compare failed: `key` is at `current` (None: absent), not where the caller thought."""

    def __init__(self, key: str, current: Stored | None) -> None:
        super().__init__(f"{key} is at {current.revision if current else 'nothing'}")
        self.key, self.current = key, current


class Stamped(NamedTuple):
    """A value that carries its own revision: stored as head + decimal revision + tail."""

    head: bytes
    tail: bytes

    def at(self, revision: int) -> bytes:
        return b"%b%d%b" % (self.head, revision, self.tail)


Value: TypeAlias = bytes | Stamped

ABSENT = 0
"""`expect` for a key that must not exist."""


class Put(NamedTuple):
    """Write `key`. `expect`: its present revision, ABSENT, or None for whatever it is."""

    key: str
    value: Value
    expect: int | None = None


class Delete(NamedTuple):
    """Remove `key`. `last` becomes the value of the event, stamped with the deletion's revision.

    Deleting an absent key with `expect=None` is a no-op that takes no revision.
    """

    key: str
    last: Value = b""
    expect: int | None = None


Op: TypeAlias = Put | Delete
Revisions: TypeAlias = list[int]


class Event(NamedTuple):
    """`deleted`: value is the last state as given by `Delete.last`. `previous`: the value before, if any."""

    key: str
    value: bytes
    revision: int
    deleted: bool
    previous: bytes | None


@dataclass(frozen=True, slots=True)
class Listing:
    """`revision` is that of the snapshot, `remaining` how many keys of the prefix follow the last one."""

    items: list[Stored]
    revision: int
    remaining: int = 0


class Store(Protocol):
    async def open(self) -> None:
        """Recovers what is on disk. Must be called first."""

    async def close(self) -> None:
        """Finishes what was accepted, ends all watches."""

    @property
    def revision(self) -> int:
        """The newest durable revision."""

    async def get(self, key: str) -> Stored | None: ...

    async def list(self, prefix: str, *, revision: int = 0, limit: int = 0, after: str = "") -> Listing:
        """Keys of a prefix in byte order; as of `revision` (0: now), at most `limit`, beyond key `after`."""

    async def txn(self, ops: Sequence[Op]) -> Revisions:
        """Applies all of `ops` or none. Answers each operation's revision (0 for a no-op delete).

        Raises TxnConflict, StoreFull. Cancelling the caller does not undo a txn already handed in.
        """

    def watch(self, prefix: str, *, after: int) -> AsyncIterator[Sequence[Event]]:
        """Batches of events with revision > `after`. Registered at once, before the first `anext`.

        The first `anext` raises Compacted or FutureRevision where `after` cannot be served.
        """

    async def compact(self, revision: int) -> None:
        """Forgets what was overwritten or deleted at or before `revision`."""

    async def defragment(self) -> None: ...
