"""Reading logs: the end without the rest, rotation, following, formats."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sampan.kubelet import crilog, logs


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


async def test_follow_through_a_rotation(tmp_path: Path) -> None:
    log = tmp_path / "0.log"
    log.write_text(line(0))
    over = False
    changes = logs.Changes(log)
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
    await asyncio.wait_for(task, 1)
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
    before = logs.CHUNK_BYTES
    logs.CHUNK_BYTES = chunk
    try:
        assert asyncio.run(read(log, tail)) == "".join(whole[len(whole) - min(tail, len(whole)) :])
    finally:
        logs.CHUNK_BYTES = before


def test_tail_text_is_cut_at_the_front(log: Path) -> None:
    assert logs.tail_text(log, 2, 100) == "line 3\nline 4\n"
    assert logs.tail_text(log, 2, 7) == "line 4\n"
    assert logs.tail_text(log.with_name("none"), 2, 7) == ""
