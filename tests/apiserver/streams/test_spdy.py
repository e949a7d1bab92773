from __future__ import annotations

import asyncio
import zlib

import pytest

from sampan.apiserver.streams import spdy

pytestmark = pytest.mark.virtual_time


class Pipe:
    """Keeps spdy.Bytes between a test and a Connection."""

    def __init__(self) -> None:
        self.inward = asyncio.StreamReader()
        self.out = bytearray()
        self.finished = False

    async def read_exactly(self, size: int) -> bytes:
        try:
            return await self.inward.readexactly(size)
        except asyncio.IncompleteReadError as error:
            raise EOFError from error

    async def write(self, data: bytes) -> None:
        self.out += data

    def gone(self) -> bool:
        return self.finished

    async def finish(self) -> None:
        self.finished = True


class Peer:
    """The client's side of the wire."""

    def __init__(self, pipe: Pipe) -> None:
        self.pipe = pipe
        self.deflate = zlib.compressobj(zdict=spdy.DICTIONARY)

    def control(self, kind: int, payload: bytes, flags: int = 0) -> None:
        head = b"\x80\x03" + kind.to_bytes(2, "big") + bytes((flags,)) + len(payload).to_bytes(3, "big")
        self.pipe.inward.feed_data(head + payload)

    def open(self, number: int, **headers: str) -> None:
        block = len(headers).to_bytes(4, "big")
        for name, value in headers.items():
            for text in (name, value):
                block += len(text).to_bytes(4, "big") + text.encode()
        packed = self.deflate.compress(block) + self.deflate.flush(zlib.Z_SYNC_FLUSH)
        self.control(1, number.to_bytes(4, "big") + bytes(6) + packed)

    def data(self, number: int, data: bytes, fin: bool = False) -> None:
        head = number.to_bytes(4, "big") + bytes((int(fin),)) + len(data).to_bytes(3, "big")
        self.pipe.inward.feed_data(head + data)


def test_the_dictionary_is_the_protocols_own() -> None:
    assert (len(spdy.DICTIONARY), zlib.adler32(spdy.DICTIONARY)) == (1423, 0xE3C6A7C2)


async def test_streams_carry_headers_data_and_their_end() -> None:
    pipe = Pipe()
    connection, peer = spdy.Connection(pipe), Peer(pipe)
    peer.open(1, streamtype="error", port="80")
    peer.open(3, streamtype="data", port="80")
    first, second = await connection.next_stream(), await connection.next_stream()
    assert first is not None and second is not None
    assert (first.headers, second.headers["streamtype"]) == ({"streamtype": "error", "port": "80"}, "data")
    peer.data(3, b"ab")
    peer.data(3, b"c", fin=True)
    assert [await second.read() for _ in range(4)] == [b"ab", b"c", b"", b""]
    del pipe.out[:]
    await second.write(b"xyz")
    await second.end()
    await second.end()
    assert bytes(pipe.out) == b"\0\0\0\3\0\0\0\3xyz" + b"\0\0\0\3\1\0\0\0"
    await connection.finish()
    assert pipe.finished


async def test_pings_come_back() -> None:
    pipe = Pipe()
    connection, peer = spdy.Connection(pipe), Peer(pipe)
    peer.control(6, b"\0\0\0\7")
    await asyncio.sleep(0.01)
    assert bytes(pipe.out) == b"\x80\x03\x00\x06\x00\x00\x00\x04\x00\x00\x00\x07"
    await connection.finish()


@pytest.mark.parametrize(
    "last", [b"", b"\x80\x03\x00\x01\x00\xff\xff\xff", b"\x80\x03\x00\x01\x00\x00\x00\x0c" + b"z" * 12]
)
async def test_the_end_and_garbage_end_everything(last: bytes) -> None:
    pipe = Pipe()
    connection, peer = spdy.Connection(pipe), Peer(pipe)
    peer.open(1, streamtype="data")
    stream = await connection.next_stream()
    assert stream is not None
    pipe.inward.feed_data(last)
    pipe.inward.feed_eof()
    async with asyncio.timeout(30):
        assert await stream.read() == b""
        assert await connection.next_stream() is None
        await connection.closed()
    await connection.finish()


async def test_a_reset_ends_one_stream() -> None:
    pipe = Pipe()
    connection, peer = spdy.Connection(pipe), Peer(pipe)
    peer.open(1, streamtype="data")
    stream = await connection.next_stream()
    assert stream is not None
    peer.control(3, b"\0\0\0\1\0\0\0\5")
    async with asyncio.timeout(30):
        assert await stream.read() == b""
    peer.open(3, streamtype="data")
    assert await connection.next_stream() is not None
    await connection.finish()


async def test_streams_that_are_over_are_forgotten() -> None:
    """A long-lived port-forward opens two for each connection."""
    pipe = Pipe()
    connection, peer = spdy.Connection(pipe), Peer(pipe)
    for number in range(1, 201, 2):
        peer.open(number, streamtype="data")
        stream = await connection.next_stream()
        assert stream is not None
        peer.data(number, b"x", fin=True)
        assert [await stream.read(), await stream.read()] == [b"x", b""]
        await stream.end()
    assert connection._streams == {}
    await connection.finish()


async def test_a_stream_that_nobody_reads_holds_up_nobody_once_it_is_dropped() -> None:
    pipe = Pipe()
    connection, peer = spdy.Connection(pipe), Peer(pipe)
    peer.open(1, streamtype="data")
    peer.open(3, streamtype="data")
    first, second = await connection.next_stream(), await connection.next_stream()
    assert first is not None and second is not None
    for _ in range(100):
        peer.data(1, bytes(100_000))
    peer.data(3, b"through")
    first.drop()
    async with asyncio.timeout(30):
        assert await second.read() == b"through"
    await connection.finish()


async def test_too_many_streams_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spdy, "MAX_STREAMS", 2)
    pipe = Pipe()
    connection, peer = spdy.Connection(pipe), Peer(pipe)
    for number in (1, 3, 5):
        peer.open(number, streamtype="data")
    await asyncio.sleep(0.01)
    assert pipe.out.endswith(b"\x80\x03\x00\x03\x00\x00\x00\x08\x00\x00\x00\x05\x00\x00\x00\x03")
    await connection.finish()


@pytest.mark.parametrize("number", [0, 2, 1])
async def test_numbers_that_are_not_the_clients(number: int) -> None:
    pipe = Pipe()
    connection, peer = spdy.Connection(pipe), Peer(pipe)
    peer.open(1, streamtype="data")
    peer.open(number, streamtype="data")
    async with asyncio.timeout(30):
        await connection.closed()
    await connection.finish()


async def test_headers_that_unpack_without_end() -> None:
    pipe = Pipe()
    connection, peer = spdy.Connection(pipe), Peer(pipe)
    peer.open(1, bomb="x" * 10_000_000)
    async with asyncio.timeout(30):
        await connection.closed()
    await connection.finish()
