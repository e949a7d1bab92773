"""Reading logs: the end without the rest, rotation, following, formats."""

from __future__ import annotations

import asyncio
import gc
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sampan.kubelet import crilog, logfiles, logs
from sampan.kubelet.logrotation import pack
from sampan.kubelet.logwatch import LogWatch

pytestmark = pytest.mark.virtual_time


def line(number: int, text: str = "", stream: str = "stdout", tag: str = "F") -> str:
    return f"2026-01-02T03:04:{number % 60:02d}.000000000+00:00 {stream} {tag} {text or f'line {number}'}\n"


async def read(log: Path, tail: int | None = None, **printer: object) -> str:
    found = crilog.Printer(**printer)  # type: ignore[arg-type]
    return b"".join([chunk async for chunk in logs.read(log, found, tail)]).decode()


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "0.log"
    path.write_text("".join(line(number) for number in range(5)))
    return path


async def test_all(log: Path) -> None:
    assert await read(log) == "".join(f"line {number}\n" for number in range(5))


@pytest.mark.parametrize(("tail", "first"), [(0, 5), (1, 4), (3, 2), (5, 0), (9, 0)])
async def test_tail(log: Path, tail: int, first: int) -> None:
    assert await read(log, tail) == "".join(f"line {number}\n" for number in range(first, 5))


async def test_options(log: Path) -> None:
    assert await read(log, since=b"2026-01-02T03:04:03.000000000") == "line 3\nline 4\n"
    assert await read(log, 1, timestamps=True) == "2026-01-02T03:04:04.000000000Z line 4\n"
    assert await read(log, left=8) == "line 0\nl"
    with log.open("a") as stream:
        stream.write(line(5, "bad", "stderr"))
    assert await read(log, streams=(b"stderr",)) == "bad\n"


async def test_parts_are_joined(tmp_path: Path) -> None:
    log = tmp_path / "0.log"
    log.write_text(line(0, "one") + line(1, "two", tag="P") + line(2, "three") + "torn")
    assert await read(log) == "one\ntwothree\n"
    assert await read(log, 1) == "twothree\n"
    assert (await read(log, 1, timestamps=True)).count("Z ") == 1


async def test_rotated_files_come_first(tmp_path: Path) -> None:
    (tmp_path / "0.log.20260101-000000").write_text(line(0) + line(1))
    (tmp_path / "0.log").write_text(line(2))
    assert await read(tmp_path / "0.log") == "line 0\nline 1\nline 2\n"
    assert await read(tmp_path / "0.log", 2) == "line 1\nline 2\n"


@pytest.mark.parametrize("packed", [1, 2, 3])
@pytest.mark.parametrize("tail", [None, 0, 1, 3, 4, 8, 9, 20])
async def test_packed_files_are_read_like_others(tmp_path: Path, packed: int, tail: int | None) -> None:
    for part in range(3):
        path = tmp_path / f"0.log.2026010{part}-000000"
        path.write_text("".join(line(part * 3 + n) for n in range(3)))
        if part < packed:
            pack(path)
    (tmp_path / "0.log.20260100-000000.gz.tmp").write_text("unfinished")
    log = tmp_path / "0.log"
    log.write_text(line(9))
    whole = [f"line {number}\n" for number in range(10)]
    assert await read(log, tail) == "".join(
        whole[len(whole) - min(tail, 10) :] if tail is not None else whole
    )


async def test_old_files_are_not_read_for_what_is_new(tmp_path: Path) -> None:
    old = tmp_path / "0.log.20250101-000000"
    old.write_text(line(0))
    os.utime(old, (0, 0))
    (tmp_path / "0.log").write_text(line(1))
    assert await read(tmp_path / "0.log", since=b"2026-01-02T03:04:00.000000000") == "line 1\n"


async def test_a_log_that_is_packed_while_it_is_read(tmp_path: Path) -> None:
    old = tmp_path / "0.log.20260101-000000"
    old.write_text("".join(line(n) for n in range(3)))
    log = tmp_path / "0.log"
    log.write_text(line(3))
    chunks = logs.read(log, crilog.Printer(), None)
    first = await anext(chunks)
    pack(old)
    assert first + b"".join([chunk async for chunk in chunks]) == b"line 0\nline 1\nline 2\nline 3\n"


class Following:
    """A follower that can be held up, as a slow client would."""

    def __init__(self, log: Path) -> None:
        self.got, self.over = b"", False
        self.go_on = asyncio.Event()
        self.go_on.set()
        self.watch = LogWatch()
        self.changes = self.watch.follow(log)
        self.task = asyncio.create_task(self._run(log))

    async def _run(self, log: Path) -> None:
        async for chunk in logs.follow(log, crilog.Printer(), None, self.changes, lambda: self.over):
            self.got += chunk
            await self.go_on.wait()

    async def end(self) -> bytes:
        self.over = True
        self.changes.touch()
        async with asyncio.timeout(30):
            await self.task
        self.changes.close()
        return self.got


async def test_a_slow_follower_misses_no_file(tmp_path: Path) -> None:
    """While it does not read, the log is rotated several times, and packed."""
    log = tmp_path / "0.log"
    log.write_text(line(0))
    following = Following(log)
    following.go_on.clear()
    await asyncio.sleep(0.02)
    for number in range(1, 5):
        with log.open("a") as stream:
            stream.write(line(number * 10))
        rotated = tmp_path / f"0.log.2026010{number}-000000"
        log.rename(rotated)
        if number < 4:
            pack(rotated)
        log.write_text(line(number))
        await asyncio.sleep(0.01)
    following.go_on.set()
    numbers = [0, 10, 1, 20, 2, 30, 3, 40, 4]
    assert await following.end() == b"".join(b"line %d\n" % number for number in numbers)


async def test_a_follower_that_was_left_behind_goes_on_with_what_there_is(tmp_path: Path) -> None:
    log = tmp_path / "0.log"
    log.write_text(line(0))
    following = Following(log)
    following.go_on.clear()
    await asyncio.sleep(0.02)
    log.rename(tmp_path / "0.log.20260101-000000")
    log.write_text(line(1))
    log.rename(tmp_path / "0.log.20260102-000000")
    (tmp_path / "0.log.20260101-000000").unlink()
    log.write_text(line(2))
    following.go_on.set()
    await asyncio.sleep(0.02)
    assert await following.end() == b"line 0\nline 1\nline 2\n"


async def test_followers_share_one_descriptor(tmp_path: Path) -> None:
    log = tmp_path / "0.log"
    log.write_text(line(0))
    watch = LogWatch()
    gc.collect()  # what other tests have left open is not to close meanwhile
    before = inotify_descriptors()
    all_changes = [watch.follow(log) for _ in range(300)]
    assert inotify_descriptors() == before + 1
    waiting = [asyncio.create_task(changes.wait()) for changes in all_changes]
    await asyncio.sleep(0)
    (tmp_path / "1.log").write_text("another's")
    await asyncio.sleep(0.02)
    assert not any(task.done() for task in waiting)
    with log.open("a") as stream:
        stream.write(line(1))
    async with asyncio.timeout(30):
        await asyncio.gather(*waiting)
    for changes in all_changes:
        changes.close()
        changes.close()
    assert inotify_descriptors() == before


def inotify_descriptors() -> int:
    links = Path("/proc/self/fd").iterdir()
    return sum(link.is_symlink() and "inotify" in str(link.readlink()) for link in links)


async def test_follow_through_a_rotation(tmp_path: Path) -> None:
    log = tmp_path / "0.log"
    log.write_text(line(0))
    over = False
    changes = LogWatch().follow(log)
    got = b""

    async def follow() -> None:
        nonlocal got
        async for chunk in logs.follow(log, crilog.Printer(), None, changes, lambda: over):
            got += chunk

    task = asyncio.create_task(follow())
    await asyncio.sleep(0.02)
    assert got == b"line 0\n"
    with log.open("a") as stream:
        stream.write(line(1))
        stream.flush()
        log.rename(tmp_path / "0.log.20260101-000000")
        stream.write(line(2))
    log.write_text(line(3))
    await asyncio.sleep(0.05)
    assert got == b"".join(b"line %d\n" % number for number in range(4))
    over = True
    changes.touch()
    await asyncio.wait_for(task, 30)
    changes.close()


@settings(max_examples=200, deadline=None)
@given(
    lengths=st.lists(st.tuples(st.integers(0, 60), st.booleans()), max_size=30),
    tail=st.integers(0, 12),
    chunk=st.integers(1, 200),
)
def test_tail_is_the_end_of_everything(
    tmp_path_factory: pytest.TempPathFactory, lengths: list[tuple[int, bool]], tail: int, chunk: int
) -> None:
    log = tmp_path_factory.mktemp("log") / "0.log"
    records = [
        line(n, "x" * size + str(n), tag="P" if part else "F") for n, (size, part) in enumerate(lengths)
    ]
    # A container's log ends with a whole line.
    log.write_text("".join(records) + line(0, "end"))
    whole = asyncio.run(read(log)).splitlines(keepends=True)
    before = logfiles.CHUNK_BYTES
    logfiles.CHUNK_BYTES = chunk
    try:
        assert asyncio.run(read(log, tail)) == "".join(whole[len(whole) - min(tail, len(whole)) :])
    finally:
        logfiles.CHUNK_BYTES = before


def test_tail_text_is_cut_at_the_front(log: Path) -> None:
    assert logs.tail_text(log, 2, 100) == "line 3\nline 4\n"
    assert logs.tail_text(log, 2, 7) == "line 4\n"
    assert logs.tail_text(log.with_name("none"), 2, 7) == ""
