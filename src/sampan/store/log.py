"""The log of all changes in one SQLite file: the SQL, and nothing but the SQL. Blocking; knows no event loop.

One row per change, its primary key the revision; nothing is updated in place, so a commit touches the end of
one B-tree and no index. `previous` chains the rows of a key: what a row superseded is found by it, which is
all that compaction, history and replay need. The present state is not kept here but in memory
(`state.State`), read once by `recover`.

Durability: WAL with synchronous=FULL, so a commit has been through fdatasync when it returns and is visible
to other connections only then (https://sqlite.org/wal.html, https://sqlite.org/pragma.html#pragma_synchronous).
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import apsw

from sampan.store.contract import Compacted, Event, Stored, StoreDamaged, StoreError
from sampan.store.state import Change, State, prefix_end

_SCHEMA = """
CREATE TABLE IF NOT EXISTS log (
    revision INTEGER PRIMARY KEY,
    key      TEXT    NOT NULL,
    created  INTEGER NOT NULL,
    previous INTEGER NOT NULL,
    first    INTEGER NOT NULL,
    deleted  INTEGER NOT NULL,
    value    BLOB    NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS compacted (revision INTEGER NOT NULL) STRICT;
INSERT INTO compacted SELECT 0 WHERE NOT EXISTS (SELECT * FROM compacted);
"""

FORMAT = 1
"""`PRAGMA user_version` of files in this layout."""

PAGE_BYTES = 8192
"""Three typical objects to a page; the default of 4096 would leave 40 % of each page empty."""

CHECKPOINT_PAGES = 2000
"""WAL pages (16 MiB) after which they are carried over into the database file."""

CACHE_KIB = 512
"""Pages a connection keeps. The log grows at its end, and nobody reads it in a hurry; the default is 2000."""

BUSY_MS = 5000
"""How long to wait for somebody who looks into the file with other tools."""

_ROWS_AT_ONCE = (64, 8, 1)
"""Rows per INSERT. Each call into SQLite gives up the GIL and must win it back from a busy event loop."""

_WINDOW = 1000
"""Revisions read, or compacted, in one go."""


class StoreInUse(StoreError):
    """Another process has the store open."""


def not_opened(path: Path, error: apsw.Error) -> StoreError:
    damaged = isinstance(error, apsw.CorruptError | apsw.NotADBError)
    return (StoreDamaged if damaged else StoreError)(f"{path}: {error}")


class Log:
    """The writing end; used by one thread at a time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = _locked(path)
        self._wal_pages = 0
        try:
            _make_private(path)
            self._db = apsw.Connection(os.fspath(path))
            self._prepare()
        except BaseException as error:
            os.close(self._lock)
            if isinstance(error, apsw.Error):
                raise not_opened(path, error) from error
            raise

    def _prepare(self) -> None:
        db = self._db
        db.set_busy_timeout(BUSY_MS)
        db.execute(f"PRAGMA cache_size=-{CACHE_KIB}")
        db.execute(f"PRAGMA page_size={PAGE_BYTES}")
        if (mode := db.execute("PRAGMA journal_mode=WAL").get) != "wal":
            raise StoreError(f"{self._path}: this file system cannot hold a write-ahead log (mode {mode})")
        db.execute("PRAGMA synchronous=FULL")
        db.execute("PRAGMA temp_store=MEMORY")
        found = db.execute("PRAGMA user_version").get
        if found not in (0, FORMAT):
            raise StoreError(f"{self._path} has layout {found}; this version of sampan reads layout {FORMAT}")
        if found != FORMAT:
            with db:
                db.execute(_SCHEMA)
                db.execute(f"PRAGMA user_version={FORMAT}")
        db.set_wal_hook(self._note_wal)
        _sync_directory(self._path.parent)

    def recover(self) -> tuple[State, int]:
        """The present state as of the last commit, and up to where it is compacted."""
        compacted: int = self._db.execute("SELECT revision FROM compacted").get
        newest: int = self._db.execute("SELECT ifnull(max(revision), 0) FROM log").get
        present = self._db.execute(
            "SELECT key, value, revision, created FROM log"
            " WHERE NOT deleted AND revision NOT IN (SELECT previous FROM log)"
        )
        # Rows newer than everything left may have been compacted away, so the newest row need not tell.
        return State((Stored(*row) for row in present), max(newest, compacted)), compacted

    def append(self, changes: Sequence[Change]) -> None:
        """Makes all changes durable, or none. Raises apsw.Error."""
        with self._transaction():
            for rows in _portions(changes):
                self._db.execute(_insert(len(rows)), [field for row in rows for field in _row(row)])

    def compact(self, compacted: int, revision: int) -> int:
        """Removes what was superseded until `revision`, coming from `compacted`; answers how far it got.

        A row superseded until then is the `previous` of a row until then, and a deletion keeps nothing.
        """
        reached = min(compacted + _WINDOW, revision)
        with self._transaction():
            self._db.execute(
                "DELETE FROM log WHERE revision IN"
                " (SELECT previous FROM log WHERE revision > ?1 AND revision <= ?2)",
                (compacted, reached),
            )
            self._db.execute(
                "DELETE FROM log WHERE deleted AND revision > ?1 AND revision <= ?2", (compacted, reached)
            )
            self._db.execute("UPDATE compacted SET revision = ?", (reached,))
        return reached

    def checkpoint(self) -> None:
        """Carries a grown WAL over into the database file, in time that no commit waits for."""
        if self._wal_pages >= CHECKPOINT_PAGES:
            self._wal_pages = 0
            self._db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)

    def defragment(self) -> None:
        """Gives pages that hold nothing back to the file system."""
        self._db.execute("VACUUM")
        self._db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)

    def close(self) -> None:
        self._db.close()
        os.close(self._lock)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            # After some errors (a full disk among them) SQLite has rolled back on its own.
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise

    def _note_wal(self, db: apsw.Connection, name: str, pages: int) -> int:
        self._wal_pages = pages
        return int(apsw.SQLITE_OK)


class History:
    """The reading end, on a connection of its own; used by one thread at a time."""

    def __init__(self, path: Path) -> None:
        self._db = apsw.Connection(os.fspath(path), flags=apsw.SQLITE_OPEN_READONLY)
        self._db.set_busy_timeout(BUSY_MS)
        self._db.execute(f"PRAGMA cache_size=-{CACHE_KIB}")

    def before(self, prefix: str, after: int, upto: int) -> dict[str, Stored | None]:
        """What keys of `prefix` that changed in (after, upto] held at `after`. Raises Compacted."""
        with self._snapshot(after):
            rows = self._db.execute(
                f"""
                SELECT change.key, was.value, was.revision, was.created
                FROM (SELECT key, min(revision), previous FROM log
                      WHERE revision > :after AND revision <= :upto AND {_IN_RANGE}
                      GROUP BY key) AS change
                LEFT JOIN log AS was ON was.revision = change.previous
                """,
                {"after": after, "upto": upto, **_range(prefix)},
            )
            return {
                key: None if at is None else Stored(key, value, at, born) for key, value, at, born in rows
            }

    def events(self, prefix: str, after: int, upto: int) -> tuple[list[Event], int]:
        """Events of `prefix` from `after` on, in whole transactions, and up to where they are complete.

        Raises Compacted.
        """
        with self._snapshot(after):
            reached = upto
            if after + _WINDOW < upto:
                next_txn = self._db.execute(
                    "SELECT min(revision) FROM log WHERE revision > ? AND first = revision",
                    (after + _WINDOW,),
                ).get
                reached = min(next_txn - 1, upto) if next_txn else upto
            rows = self._db.execute(
                f"""
                SELECT change.key, change.value, change.revision, change.deleted, was.value
                FROM (SELECT * FROM log
                      WHERE revision > :after AND revision <= :reached AND {_IN_RANGE}) AS change
                LEFT JOIN log AS was ON was.revision = change.previous
                ORDER BY change.revision
                """,
                {"after": after, "reached": reached, **_range(prefix)},
            )
            return [
                Event(key, value, at, bool(deleted), previous) for key, value, at, deleted, previous in rows
            ], reached

    def close(self) -> None:
        self._db.close()

    @contextmanager
    def _snapshot(self, after: int) -> Iterator[None]:
        """Reads within see one moment, in which everything after revision `after` is still kept."""
        self._db.execute("BEGIN")
        try:
            compacted: int = self._db.execute("SELECT revision FROM compacted").get
            if after < compacted:
                raise Compacted(after, compacted)
            yield
        finally:
            self._db.execute("ROLLBACK")


_IN_RANGE = "key >= :low AND (:high IS NULL OR key < :high)"


def _range(prefix: str) -> dict[str, str | None]:
    return {"low": prefix, "high": prefix_end(prefix)}


def _row(change: Change) -> tuple[Any, ...]:
    return (
        change.revision,
        change.key,
        change.created,
        change.previous,
        change.first,
        int(change.deleted),
        change.value,
    )


def _insert(rows: int) -> str:
    return f"INSERT INTO log VALUES {','.join(['(?,?,?,?,?,?,?)'] * rows)}"


def _portions(changes: Sequence[Change]) -> Iterator[Sequence[Change]]:
    """`changes` in pieces of only a few sizes, so that the statements for them stay prepared."""
    start = 0
    for size in _ROWS_AT_ONCE:
        while len(changes) - start >= size:
            yield changes[start : start + size]
            start += size


def _locked(path: Path) -> int:
    """A descriptor that holds the store for this process until it is closed, or the process gone."""
    lock = os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(lock)
        raise StoreInUse(f"{path} is in use by another process") from error
    return lock


def _make_private(path: Path) -> None:
    """A new store is its owner's alone; SQLite gives its other files the mode that this one has."""
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))


def _sync_directory(directory: Path) -> None:
    """Makes the file's name as durable as its content."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
