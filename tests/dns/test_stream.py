"""Questions by TCP: several at once, silent peers, greedy peers."""

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from harness.dnstalk import until
from sampan.dns import stream
from sampan.dns.responder import Asker, Outcome
from sampan.dns.stream import Streams

Connected = tuple["Answering", list[asyncio.StreamReader], list[asyncio.StreamWriter]]


def framed(packet: bytes) -> bytes:
    return struct.pack("!H", len(packet)) + packet


class Answering:
    """Says what it was asked; `slow...` once `go` is set, `none` not at all."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.heard: list[bytes] = []
        self.askers: list[Asker] = []

    def __call__(self, packet: bytes, asker: Asker) -> Outcome:
        self.heard.append(packet)
        self.askers.append(asker)
        if packet == b"none":
            return None
        return self._later(packet) if packet.startswith(b"slow") else packet

    async def _later(self, packet: bytes) -> bytes:
        await self.go.wait()
        return packet


@asynccontextmanager
async def connected(count: int = 1) -> AsyncIterator[Connected]:
    answering = Answering()
    streams = Streams(answering)
    server = await asyncio.get_running_loop().create_server(streams.new, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    pairs = [await asyncio.open_connection("127.0.0.1", port) for _ in range(count)]
    try:
        yield answering, [reader for reader, _ in pairs], [writer for _, writer in pairs]
    finally:
        for _, writer in pairs:
            writer.close()
        streams.close()
        server.close()


async def read(reader: asyncio.StreamReader) -> bytes:
    async with asyncio.timeout(30):
        (length,) = struct.unpack("!H", await reader.readexactly(2))
        return await reader.readexactly(length)


async def closed(reader: asyncio.StreamReader) -> bool:
    async with asyncio.timeout(30):
        try:
            return await reader.read(1) == b""
        except ConnectionResetError:
            return True


async def test_several_at_once_each_as_soon_as_it_is_there() -> None:
    async with connected() as (it, (reader,), (writer,)):
        writer.write(framed(b"slow") + framed(b"one") + framed(b"two")[:4])
        assert await read(reader) == b"one"
        writer.write(framed(b"two")[4:])
        assert await read(reader) == b"two"
        it.go.set()
        assert await read(reader) == b"slow"
        assert it.askers[0].proto == "tcp" and it.askers[0].family == 0


async def test_byte_by_byte_is_fast_enough() -> None:
    async with connected() as (_, (reader,), (writer,)):
        for byte in framed(b"question"):
            writer.write(bytes((byte,)))
            await writer.drain()
            await asyncio.sleep(0)
        assert await read(reader) == b"question"


async def test_who_talks_nonsense_is_hung_up_on() -> None:
    async with connected() as (_, (reader,), (writer,)):
        writer.write(framed(b"none"))
        assert await closed(reader)


async def test_who_is_silent_is_hung_up_on_but_not_who_waits_for_us(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "IDLE_S", 0.5)
    async with connected(2) as (it, readers, writers):
        writers[1].write(framed(b"slow"))
        assert await closed(readers[0])
        it.go.set()
        assert await read(readers[1]) == b"slow"
        assert await closed(readers[1])


async def test_of_too_many_the_one_that_was_silent_longest_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "CONNECTIONS_MOST", 2)
    async with connected(2) as (_, readers, writers):
        writers[0].write(framed(b"one"))
        assert await read(readers[0]) == b"one"
        port = writers[0].get_extra_info("peername")[1]
        third, last = await asyncio.open_connection("127.0.0.1", port)
        assert await closed(readers[1])
        last.write(framed(b"three"))
        writers[0].write(framed(b"two"))
        assert (await read(third), await read(readers[0])) == (b"three", b"two")
        last.close()


async def test_no_more_questions_are_read_than_may_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "UNDER_WAY_MOST", 3)
    async with connected() as (it, (reader,), (writer,)):
        writer.write(b"".join(framed(b"slow%d" % number) for number in range(8)) + framed(b"quick"))

        async def heard() -> bool:
            return len(it.heard) >= 3

        await until(heard)
        for _ in range(20):
            await asyncio.sleep(0)
        assert len(it.heard) == 3
        it.go.set()
        assert sorted([await read(reader) for _ in range(9)]) == sorted(it.heard)


async def test_who_does_not_read_is_not_answered_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    async with connected() as (it, (reader,), (writer,)):
        reader._transport.pause_reading()  # type: ignore[attr-defined]
        big = framed(b"x" * 60000)
        sent = 400
        feeding = asyncio.create_task(feed(writer, big, sent))
        await asyncio.sleep(0.3)
        assert len(it.heard) < sent
        reader._transport.resume_reading()  # type: ignore[attr-defined]
        for _ in range(sent):
            assert len(await read(reader)) == 60000
        await feeding


async def feed(writer: asyncio.StreamWriter, packet: bytes, times: int) -> None:
    for _ in range(times):
        writer.write(packet)
        await writer.drain()
