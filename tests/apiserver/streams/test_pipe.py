"""A bounded pipe: who writes waits, who leaves is noticed."""

from __future__ import annotations

import asyncio

import pytest

from sampan.apiserver.streams import pipe
from sampan.apiserver.streams.pipe import LIMIT_BYTES, Pipe

pytestmark = pytest.mark.virtual_time


def here() -> bool:
    return False


async def test_bytes_come_out_as_they_went_in() -> None:
    way = Pipe()
    for piece in (b"a", b"", b"bc"):
        await way.put(piece, here)
    way.end()
    way.end()
    await way.put(b"too late", here)
    assert [await way.read() for _ in range(4)] == [b"a", b"bc", b"", b""]


async def test_a_full_pipe_holds_the_writer_until_it_is_read() -> None:
    way = Pipe()
    writing = asyncio.create_task(way.put(bytes(LIMIT_BYTES + 1), here))
    await asyncio.sleep(0.01)
    assert not writing.done()
    assert len(await way.read()) == LIMIT_BYTES + 1
    async with asyncio.timeout(30):
        await writing


async def test_a_client_that_leaves_a_full_pipe_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipe, "LOOK_S", 0.01)
    left = False
    writing = asyncio.create_task(Pipe().put(bytes(LIMIT_BYTES + 1), lambda: left))
    await asyncio.sleep(0.05)
    assert not writing.done()
    left = True
    async with asyncio.timeout(30):
        with pytest.raises(ConnectionResetError):
            await writing


async def test_what_nobody_wants_is_thrown_away() -> None:
    way = Pipe()
    writing = asyncio.create_task(way.put(bytes(LIMIT_BYTES + 1), here))
    await asyncio.sleep(0.01)
    way.drop()
    async with asyncio.timeout(30):
        await writing
        await way.put(bytes(10 * LIMIT_BYTES), here)
    assert await way.read() == b""
