"""The store on SQLite: state in memory, every change on disk before anybody hears of it.

Who owns what. The event loop owns the state, plans each transaction against it as it comes, and delivers. One
thread, the writer, owns the log's writing end: it takes batches of planned changes, each of them one commit,
and reports once per batch. One thread reads history. While a commit is on its way, transactions gather into
the next batch (group commit); they are planned on top of what is on its way (`_ahead`), and so is a conflict:
its answer waits for the commit it follows from, since nobody may learn of anything that is not durable.

If a commit fails, its batch is answered StoreFull, and what had gathered on top of it is planned anew.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeAlias, TypeVar

import apsw

from sampan.store.contract import (
    Event,
    FutureRevision,
    Listing,
    Op,
    Revisions,
    Stored,
    StoreError,
    StoreFull,
    TxnConflict,
)
from sampan.store.hub import BUFFER_MOST, Hub
from sampan.store.log import History, Log, not_opened
from sampan.store.state import Change, State, plan

T = TypeVar("T")
Job: TypeAlias = Callable[[Log], None]

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Txn:
    """A transaction on its way; the answer is given when the commit it belongs to is through."""

    ops: Sequence[Op]
    future: asyncio.Future[Revisions]
    answer: Revisions | TxnConflict = field(default_factory=list)


@dataclass(slots=True)
class _Batch:
    txns: list[_Txn] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)


class SqliteStore:
    """Keeps `store.contract.Store`. `path` is the database file; its directory must exist."""

    def __init__(self, path: Path | str, *, watch_buffer: int = BUFFER_MOST) -> None:
        self._path = Path(path)
        self._state = State()
        """What is durable. Only `_delivered` changes it."""
        self._compacted = 0
        """What readers are refused: revisions before this one."""
        self._cleared = 0
        """How far the log has been emptied; behind `_compacted` while it is at work, or after it failed."""
        self._hub = Hub(watch_buffer)
        self._ahead: dict[str, Change] = {}
        """The newest change of each key that is planned but not delivered."""
        self._head = 0
        """The newest revision planned. `_state.revision` plus what is on its way."""
        self._gathering = _Batch()
        self._committing = False
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._writer: threading.Thread | None = None
        self.trouble = ""
        """Why the newest write failed; "" if it did not."""
        self._reader = ThreadPoolExecutor(1, "store-reader")
        self._open = False
        self._idle = asyncio.Event()
        """Set while no commit is on its way."""
        self._idle.set()

    async def open(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._log, self._history, self._state, self._compacted = await self._loop.run_in_executor(
            self._reader, _opened, self._path
        )
        self._head = self._state.revision
        self._cleared = self._compacted
        self._writer = threading.Thread(target=self._write, name="store-writer", daemon=True)
        self._writer.start()
        self._open = True

    async def close(self) -> None:
        if not self._open:
            return
        self._open = False
        await self._idle.wait()
        self._hub.close()
        self._jobs.put(None)
        if self._writer is not None:
            await self._loop.run_in_executor(self._reader, self._writer.join)
        await self._loop.run_in_executor(self._reader, self._history.close)
        await self._loop.run_in_executor(self._reader, self._log.close)
        self._reader.shutdown()

    @property
    def revision(self) -> int:
        return self._state.revision

    async def get(self, key: str) -> Stored | None:
        return self._state.get(key)

    async def list(self, prefix: str, *, revision: int = 0, limit: int = 0, after: str = "") -> Listing:
        state = self._state
        if not revision or revision == state.revision:
            return state.list(prefix, limit, after)
        state.check(revision, self._compacted)
        # What changes while the reader is at work is newer than `present` and does not touch it.
        present, upto = state.list(prefix), state.revision
        changed = await self._read(self._history.before, prefix, revision, upto)
        return State(present.items, upto).list_before(changed, revision, prefix, limit, after)

    async def txn(self, ops: Sequence[Op]) -> Revisions:
        if not self._open:
            raise StoreError("the store is closed")
        txn = _Txn(ops, self._loop.create_future())
        self._enter(txn)
        return await txn.future

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
        self._compacted = max(self._compacted, revision)
        while self._cleared < revision:
            step = partial(Log.compact, compacted=self._cleared, revision=revision)
            self._cleared = max(self._cleared, await self._on_writer(step))

    async def defragment(self) -> None:
        await self._on_writer(Log.defragment)

    # -- on the loop: planning and delivering

    def _enter(self, txn: _Txn) -> None:
        """Plans a transaction on top of everything before it and puts it into the next commit."""
        gathering = self._gathering
        try:
            changes, txn.answer = plan(txn.ops, self._lookup, self._head)
        except TxnConflict as conflict:
            if not self._ahead:
                raise
            changes, txn.answer = [], conflict
        gathering.txns.append(txn)
        gathering.changes += changes
        for change in changes:
            self._ahead[change.key] = change
        self._head += len(changes)
        if not self._committing:
            self._committing = True
            self._idle.clear()
            # Later in this turn of the loop: callers woken together share the commit.
            self._loop.call_soon(self._commit)

    def _lookup(self, key: str) -> Stored | None:
        change = self._ahead.get(key)
        return change.stored if change is not None else self._state.get(key)

    def _commit(self) -> None:
        batch, self._gathering = self._gathering, _Batch()

        def job(log: Log) -> None:
            error: Exception | None = None
            try:
                if batch.changes:
                    log.append(batch.changes)
            except Exception as failure:
                error = failure
            self._loop.call_soon_threadsafe(self._delivered, batch, error)

        self._jobs.put(job)

    def _delivered(self, batch: _Batch, error: Exception | None) -> None:
        self.trouble = "" if error is None else f"{self._path}: {error}"
        if error is None:
            self._keep(batch)
        else:
            self._undo(batch, error)
        if self._gathering.txns:
            self._commit()
        else:
            self._committing = False
            self._idle.set()

    def _keep(self, batch: _Batch) -> None:
        events = self._state.apply(batch.changes)
        for change in batch.changes:
            if self._ahead.get(change.key) is change:
                del self._ahead[change.key]
        if events:
            self._hub.publish(events)
        for txn in batch.txns:
            _answer(txn.future, txn.answer)

    def _undo(self, batch: _Batch, error: Exception) -> None:
        log.error("%s: %d transactions not written: %s", self._path, len(batch.txns), error)
        self._ahead.clear()
        self._head = self._state.revision
        again, self._gathering = self._gathering, _Batch()
        for txn in batch.txns:
            _answer(txn.future, _refusal(self._path, error))
        for txn in again.txns:
            try:
                self._enter(txn)
            except TxnConflict as conflict:
                _answer(txn.future, conflict)

    # -- the threads

    def _write(self) -> None:
        """The writer thread, until it is handed None."""
        while (job := self._jobs.get()) is not None:
            job(self._log)
            try:
                self._log.checkpoint()
            except apsw.Error as error:
                # Nothing is lost: the WAL has it all, and grows until a later checkpoint succeeds.
                log.warning("%s: checkpoint failed: %s", self._path, error)

    async def _on_writer(self, work: Callable[[Log], T]) -> T:
        """Runs `work` between two commits."""
        if not self._open:
            raise StoreError("the store is closed")
        future: asyncio.Future[T] = self._loop.create_future()

        def job(log: Log) -> None:
            try:
                result = work(log)
            except Exception as error:
                self._loop.call_soon_threadsafe(_answer, future, _refusal(self._path, error))
            else:
                self._loop.call_soon_threadsafe(_answer, future, result)

        self._jobs.put(job)
        return await future

    async def _read(self, work: Callable[[str, int, int], T], prefix: str, after: int, upto: int) -> T:
        return await self._loop.run_in_executor(self._reader, work, prefix, after, upto)

    async def _replay(self, prefix: str, after: int, upto: int) -> AsyncIterator[Sequence[Event]]:
        while after < upto:
            events, after = await self._read(self._history.events, prefix, after, upto)
            if events:
                yield events


def _opened(path: Path) -> tuple[Log, History, State, int]:
    log = Log(path)
    try:
        state, compacted = log.recover()
        return log, History(path), state, compacted
    except apsw.Error as error:
        log.close()
        raise not_opened(path, error) from error


def _answer(future: asyncio.Future[T], answer: T | Exception) -> None:
    """Nobody waits for the answer of a caller that was cancelled."""
    if future.done():
        return
    if isinstance(answer, Exception):
        future.set_exception(answer)
    else:
        future.set_result(answer)


def _refusal(path: Path, error: Exception) -> Exception:
    """What a failed write is to its caller. Only SQLite's own errors say something about the medium."""
    if not isinstance(error, apsw.Error):
        return error
    refusal = StoreFull(f"{path}: {error}")
    refusal.__cause__ = error
    return refusal
