"""WebSocket frames, good and hostile."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from sampan.apiserver.exchange import Duplex
from sampan.apiserver.streams import websocket
from sampan.apiserver.streams.websocket import Closed, WebSocket

MASK = b"\x01\x02\x03\x04"


class Wire:
    """Keeps what the server's side needs of exchange.Duplex."""

    def __init__(self) -> None:
        self.reader = asyncio.StreamReader()
        self.out = bytearray()
        self.closed = False

    def write(self, data: bytes) -> None:
        self.out += data

    async def drain(self) -> None:
        return

    def hung_up(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True


def frame(
    opcode: int, payload: bytes, *, final: bool = True, mask: bytes | None = MASK, rsv: int = 0
) -> bytes:
    size, masked = len(payload), 0x80 if mask is not None else 0
    head = bytes((0x80 * final | rsv | opcode,))
    if size < 126:
        head += bytes((masked | size,))
    elif size < 1 << 16:
        head += bytes((masked | 126,)) + size.to_bytes(2, "big")
    else:
        head += bytes((masked | 127,)) + size.to_bytes(8, "big")
    if mask is None:
        return head + payload
    return head + mask + bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))


def opened(*frames: bytes) -> tuple[WebSocket, Wire]:
    wire = Wire()
    for part in frames:
        wire.reader.feed_data(part)
    return WebSocket(cast(Duplex, cast(Any, wire))), wire


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65535, 65536, 300_001])
async def test_messages_of_every_length(size: int) -> None:
    payload = bytes(at % 251 for at in range(size))
    socket, _ = opened(frame(2, payload))
    assert await socket.receive() == payload
    await socket.send(payload)


async def test_fragments_with_a_ping_between_them() -> None:
    socket, wire = opened(
        frame(1, b"ab", final=False), frame(9, b"?"), frame(0, b"c", final=False), frame(0, b"d")
    )
    assert await socket.receive() == b"abcd"
    assert bytes(wire.out) == b"\x8a\x01?"


@pytest.mark.parametrize(
    ("hostile", "code"),
    [
        (frame(2, b"x", mask=None), websocket.PROTOCOL_ERROR),
        (frame(2, b"x", rsv=0x40), websocket.PROTOCOL_ERROR),
        (frame(9, bytes(126)), websocket.PROTOCOL_ERROR),
        (frame(9, b"x", final=False), websocket.PROTOCOL_ERROR),
        (frame(3, b"x"), websocket.PROTOCOL_ERROR),
        (frame(0, b"x"), websocket.PROTOCOL_ERROR),
        (frame(1, b"x", final=False) + frame(1, b"y"), websocket.PROTOCOL_ERROR),
        (b"\x82\xff" + (1 << 62).to_bytes(8, "big") + MASK, websocket.TOO_BIG),
        (frame(2, bytes(3 << 20), final=False) + frame(0, bytes(3 << 20)), websocket.TOO_BIG),
        (frame(1, b"", final=False) + frame(0, b"", final=False) * 2000, websocket.PROTOCOL_ERROR),
    ],
    ids=[
        "unmasked",
        "extension",
        "long ping",
        "cut ping",
        "unknown opcode",
        "nothing to continue",
        "message inside of a message",
        "huge frame",
        "huge message",
        "endless fragments",
    ],
)
async def test_hostile_frames_end_the_connection(hostile: bytes, code: int) -> None:
    socket, wire = opened(hostile)
    with pytest.raises(Closed):
        await socket.receive()
    assert bytes(wire.out) == b"\x88\x02" + code.to_bytes(2, "big")


async def test_the_peers_close_is_answered_once() -> None:
    socket, wire = opened(frame(8, b"\x03\xe8"))
    with pytest.raises(Closed):
        await socket.receive()
    socket.close()
    assert bytes(wire.out) == b"\x88\x02\x03\xe8"


async def test_a_connection_that_breaks_off() -> None:
    for part in (b"", b"\x82", b"\x82\x85", frame(2, b"hello")[:-1]):
        socket, wire = opened(part)
        wire.reader.feed_eof()
        with pytest.raises(Closed):
            await socket.receive()
