"""What only a store on a disk has to get right: durability, full disks, files that are no stores."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import apsw
import pytest

from sampan.store import log
from sampan.store.contract import (
    ABSENT,
    Compacted,
    Delete,
    Put,
    StoreDamaged,
    StoreError,
    StoreFull,
    TxnConflict,
)
from sampan.store.log import Log, StoreInUse
from sampan.store.sqlite import SqliteStore
from sampan.store.state import Change


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    made = SqliteStore(tmp_path / "store.db")
    await made.open()
    yield made
    await made.close()


class Medium:
    """Stands before `Log.append`: holds commits back, counts them, makes them fail."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.commits: list[int] = []
        self.failures: list[Exception] = []
        self.free = threading.Event()
        self.free.set()
        self.entered = threading.Event()
        real = Log.append

        def append(log: Log, changes: Sequence[Change]) -> None:
            self.entered.set()
            self.free.wait(10)
            if self.failures:
                raise self.failures.pop()
            real(log, changes)
            self.commits.append(len(changes))

        monkeypatch.setattr(Log, "append", append)

    @contextmanager
    def held(self) -> Iterator[None]:
        self.entered.clear()
        self.free.clear()
        try:
            yield
        finally:
            self.free.set()

    async def wait_entered(self) -> None:
        assert await asyncio.to_thread(self.entered.wait, 5)


@pytest.fixture
def medium(monkeypatch: pytest.MonkeyPatch) -> Medium:
    return Medium(monkeypatch)


async def test_nobody_hears_of_a_write_before_it_is_durable(store: SqliteStore, medium: Medium) -> None:
    watch = store.watch("/", after=0)
    heard = asyncio.ensure_future(anext(watch))
    with medium.held():
        write = asyncio.create_task(store.txn([Put("/a", b"1", ABSENT)]))
        await medium.wait_entered()
        # A conflict would tell that /a is there.
        conflicting = asyncio.create_task(store.txn([Put("/a", b"2", ABSENT)]))
        await asyncio.sleep(0.02)
        assert await store.get("/a") is None
        assert (await store.list("/")).items == []
        assert store.revision == 0
        assert not (heard.done() or write.done() or conflicting.done())
    assert await write == [1]
    assert [event.revision for event in await heard] == [1]
    with pytest.raises(TxnConflict) as conflict:
        await conflicting
    assert conflict.value.current is not None and conflict.value.current.revision == 1


async def test_transactions_gather_while_a_commit_is_on_its_way(store: SqliteStore, medium: Medium) -> None:
    with medium.held():
        first = asyncio.create_task(store.txn([Put("/first", b"")]))
        await medium.wait_entered()
        others = [asyncio.create_task(store.txn([Put(f"/{n}", b"")])) for n in range(100)]
        await asyncio.sleep(0)
    await asyncio.gather(first, *others)
    assert medium.commits == [1, 100]


async def test_a_failed_commit_leaves_no_trace_and_what_follows_is_planned_anew(
    store: SqliteStore, medium: Medium
) -> None:
    await store.txn([Put("/a", b"1")])
    medium.failures = [apsw.FullError("database or disk is full")]
    watch = store.watch("/", after=1)
    with medium.held():
        lost = asyncio.create_task(store.txn([Put("/a", b"2", 1), Put("/b", b"")]))
        await medium.wait_entered()
        on_top = asyncio.create_task(store.txn([Put("/a", b"3", 2)]))
        independent = asyncio.create_task(store.txn([Put("/a", b"4", 1)]))
        await asyncio.sleep(0)
    with pytest.raises(StoreFull, match="disk is full"):
        await lost
    with pytest.raises(TxnConflict) as conflict:
        await on_top
    assert conflict.value.current == ("/a", b"1", 1, 1)
    assert await independent == [2]
    assert [event.value for event in await anext(watch)] == [b"4"]
    assert [item.key for item in (await store.list("/")).items] == ["/a"]


async def test_a_full_database_takes_writes_again_once_there_is_room(store: SqliteStore) -> None:
    def limit(pages: int) -> Callable[[Log], None]:
        return lambda log: log._db.execute(f"PRAGMA max_page_count={pages}").get

    await store._on_writer(limit(40))
    written = 0
    with pytest.raises(StoreFull):
        while written < 200:
            await store.txn([Put(f"/{written}", bytes(4000))])
            written += 1
    assert store.revision == written > 10
    with pytest.raises(StoreFull):
        await store.txn([Put("/more", bytes(9000))])
    assert len((await store.list("/")).items) == written
    assert store.trouble.endswith("store.db: database or disk is full")
    await store._on_writer(limit(1000))
    assert await store.txn([Put("/more", bytes(9000))]) == [written + 1]
    assert store.trouble == ""


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", disk], check=True)
    yield disk
    subprocess.run(["umount", disk], check=True)


@pytest.mark.root
async def test_a_full_disk_loses_nothing_and_takes_writes_again_once_there_is_room(small_disk: Path) -> None:
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(1_200_000))
    store = SqliteStore(small_disk / "store.db")
    await store.open()
    acknowledged: list[str] = []

    async def write(writer: int) -> None:
        for number in range(100):
            key = f"/{writer}/{number}"
            await store.txn([Put(key, bytes(3000))])
            acknowledged.append(key)

    results = await asyncio.gather(*(write(n) for n in range(10)), return_exceptions=True)
    assert all(isinstance(result, StoreFull) for result in results)
    ballast.unlink()
    await store.txn([Put("/after", b"")])
    await store.close()
    store = SqliteStore(small_disk / "store.db")
    await store.open()
    keys = {item.key for item in (await store.list("/")).items}
    assert keys >= {*acknowledged, "/after"} and len(acknowledged) > 10
    await store.close()


async def test_the_files_are_their_owners_alone(store: SqliteStore, tmp_path: Path) -> None:
    await store.txn([Put("/a", b"")])
    modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    assert modes.keys() >= {"store.db", "store.db-wal"}
    assert set(modes.values()) == {0o600}


async def test_everything_is_there_after_reopening(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    for number in range(3):
        store = SqliteStore(path)
        await store.open()
        assert store.revision == number * 2
        await store.txn([Put("/a", b"%d" % number), Put(f"/{number}", b"")])
        listing = await store.list("/")
        await store.close()
    store = SqliteStore(path)
    await store.open()
    assert await store.list("/") == listing
    assert [event.revision for event in await anext(store.watch("/", after=0))] == [1, 2, 3, 4, 5, 6]
    await store.close()


async def test_the_revision_survives_compaction_of_the_newest_change(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "store.db")
    await store.open()
    await store.txn([Put("/a", b"")])
    (revision,) = await store.txn([Delete("/a")])
    await store.compact(revision)
    await store.close()
    store = SqliteStore(tmp_path / "store.db")
    await store.open()
    assert store.revision == revision
    with pytest.raises(Compacted):
        await anext(store.watch("/", after=revision - 1))
    assert await store.txn([Put("/a", b"")]) == [revision + 1]
    await store.close()


async def test_compaction_gives_space_back(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    store = SqliteStore(path)
    await store.open()
    for _ in range(30):
        await store.txn([Put(f"/{n}", bytes(2000)) for n in range(100)])
    await store.compact(store.revision)
    await store.defragment()
    assert path.stat().st_size < 500_000
    await store.close()


async def test_the_write_ahead_log_does_not_grow_without_bound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log, "CHECKPOINT_PAGES", 50)
    store = SqliteStore(tmp_path / "store.db")
    await store.open()
    for number in range(300):
        await store.txn([Put(f"/{number}", bytes(6000))])
    assert (tmp_path / "store.db-wal").stat().st_size < 150 * log.PAGE_BYTES
    await store.close()


async def test_a_store_is_one_process_own(store: SqliteStore, tmp_path: Path) -> None:
    program = "import sys; from sampan.store.log import Log; Log(__import__('pathlib').Path(sys.argv[1]))"
    other = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", program, tmp_path / "store.db"],
        capture_output=True,
        text=True,
    )
    assert "StoreInUse" in other.stderr and "in use by another process" in other.stderr
    with pytest.raises(StoreInUse):
        await SqliteStore(tmp_path / "store.db").open()
    assert await store.txn([Put("/a", b"")]) == [1]


async def test_a_file_that_is_no_store_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    path.write_bytes(b"these are not the pages you are looking for\n" * 500)
    with pytest.raises(StoreDamaged, match="not a database"):
        await SqliteStore(path).open()
    assert path.read_bytes().startswith(b"these are not")
    path.unlink()
    store = SqliteStore(path)
    await store.open()
    await store.close()


async def test_a_file_of_which_half_is_gone_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    store = SqliteStore(path)
    await store.open()
    for number in range(50):
        await store.txn([Put(f"/{number}", bytes(4000))])
    await store.close()
    os.truncate(path, path.stat().st_size // 2)
    with pytest.raises(StoreDamaged, match="malformed"):
        await SqliteStore(path).open()


async def test_a_store_of_another_layout_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    with apsw.Connection(str(path)) as db:
        db.execute("PRAGMA user_version=99")
    with pytest.raises(StoreError, match="layout 99"):
        await SqliteStore(path).open()


async def test_what_a_failed_compaction_left_goes_with_the_next(
    store: SqliteStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(20):
        await store.txn([Put("/a", b"%d" % number)])
    halfway = store.revision - 10

    def full(log: Log, compacted: int, revision: int) -> int:
        raise apsw.FullError("database or disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(Log, "compact", full)
        with pytest.raises(StoreFull):
            await store.compact(halfway)
    await store.compact(store.revision)
    rows = apsw.Connection(str(tmp_path / "store.db"), flags=apsw.SQLITE_OPEN_READONLY)
    assert list(rows.execute("SELECT count(*) FROM log")) == [(1,)]
    rows.close()
