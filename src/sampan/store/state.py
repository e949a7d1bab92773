"""The present state of all keys, in memory, and what a transaction would change in it. Pure; knows no medium.

Values are the bytes that were handed in (stamped once): readers, watchers and this map share them.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from sampan.store.contract import (
    Compacted,
    Delete,
    Event,
    FutureRevision,
    Listing,
    Op,
    Put,
    Stamped,
    Stored,
    TxnConflict,
    Value,
)


class Change(NamedTuple):
    """What one operation did to one key: a row of the log. A deletion's `value` is its `Delete.last`."""

    key: str
    value: bytes
    revision: int
    created: int
    """Revision that brought the key into being; of a deletion, the key that went."""
    previous: int
    """Revision the key was at before; 0 if it was absent."""
    first: int
    """Revision of the transaction's first change: those with the same `first` belong together."""
    deleted: bool

    @property
    def stored(self) -> Stored | None:
        """What the key holds from here on."""
        return None if self.deleted else Stored(self.key, self.value, self.revision, self.created)


class Planned(NamedTuple):
    changes: list[Change]
    answers: list[int]
    """Each operation's revision, 0 for a deletion of nothing."""


def plan(ops: Sequence[Op], lookup: Callable[[str], Stored | None], revision: int) -> Planned:
    """What `ops` do to the state that `lookup` shows at `revision`.

    An operation sees those before it in the same transaction. Raises TxnConflict where an `expect` fails,
    ValueError for a key that is not valid Unicode.
    """
    changes: list[Change] = []
    answers: list[int] = []
    overlay: dict[str, Stored | None] = {}
    first = revision + 1
    for op in ops:
        key = op.key
        key.encode()
        now = overlay[key] if key in overlay else lookup(key)
        if op.expect is not None and op.expect != (now.revision if now else 0):
            raise TxnConflict(key, now)
        if isinstance(op, Delete) and now is None:
            answers.append(0)
            continue
        revision += 1
        change = _change(op, now, revision, first)
        overlay[key] = change.stored
        changes.append(change)
        answers.append(revision)
    return Planned(changes, answers)


def _change(op: Op, now: Stored | None, revision: int, first: int) -> Change:
    previous, created = (now.revision, now.created) if now else (0, revision)
    value = op.value if isinstance(op, Put) else op.last
    return Change(op.key, _bytes(value, revision), revision, created, previous, first, isinstance(op, Delete))


def _bytes(value: Value, revision: int) -> bytes:
    return value.at(revision) if isinstance(value, Stamped) else value


def prefix_end(prefix: str) -> str | None:
    """The first string in byte order beyond all that begin with `prefix`; None if there is none."""
    stem = prefix.rstrip("\U0010ffff")
    if not stem:
        return None
    following = ord(stem[-1]) + 1
    # UTF-8 orders by code point and has no surrogates.
    return stem[:-1] + chr(0xE000 if 0xD800 <= following <= 0xDFFF else following)


class State:
    """Every present key with its value; `revision` is that of the newest change applied."""

    def __init__(self, items: Iterable[Stored] = (), revision: int = 0) -> None:
        self.revision = revision
        self._items: dict[str, Stored] = {item.key: item for item in items}
        self._keys: list[str] = sorted(self._items)
        """The keys of `_items`, in byte order (which is code point order)."""

    def __len__(self) -> int:
        return len(self._items)

    def get(self, key: str) -> Stored | None:
        return self._items.get(key)

    def apply(self, changes: Sequence[Change]) -> list[Event]:
        """Takes over changes in revision order; answers what watchers get to see."""
        events = []
        for change in changes:
            key = change.key
            old = self._items.get(key)
            new = change.stored
            if new is None:
                del self._items[key]
                del self._keys[bisect_left(self._keys, key)]
            else:
                if old is None:
                    insort(self._keys, key)
                self._items[key] = new
            events.append(
                Event(key, change.value, change.revision, change.deleted, old.value if old else None)
            )
            self.revision = change.revision
        return events

    def list(self, prefix: str, limit: int = 0, after: str = "") -> Listing:
        low, high = self._bounds(prefix, after)
        stop = min(high, low + limit) if limit else high
        found = [self._items[key] for key in self._keys[low:stop]]
        return Listing(found, self.revision, high - stop)

    def check(self, revision: int, compacted: int) -> None:
        """Raises FutureRevision or Compacted if the state at `revision` cannot be known."""
        if revision > self.revision:
            raise FutureRevision(revision, self.revision)
        if revision < compacted:
            raise Compacted(revision, compacted)

    def list_before(
        self, changed: Mapping[str, Stored | None], revision: int, prefix: str, limit: int, after: str
    ) -> Listing:
        """The list as of an earlier `revision`: `changed` is what was there of all that changed since."""
        low, high = self._bounds(prefix, after)
        items = {key: self._items[key] for key in self._keys[low:high] if key not in changed}
        items |= {
            key: item
            for key, item in changed.items()
            if item is not None and key.startswith(prefix) and key > after
        }
        keys = sorted(items)
        stop = limit or len(keys)
        return Listing([items[key] for key in keys[:stop]], revision, max(len(keys) - stop, 0))

    def _bounds(self, prefix: str, after: str) -> tuple[int, int]:
        low = bisect_left(self._keys, prefix)
        if after:
            low = max(low, bisect_right(self._keys, after))
        end = prefix_end(prefix)
        high = len(self._keys) if end is None else bisect_left(self._keys, end)
        return low, max(low, high)
