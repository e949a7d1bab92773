"""Questions by TCP (RFC 7766): several on one connection, each answered as soon as its answer is there.

A connection that says nothing for a while is closed, and so is the one that was silent longest when there
are too many. A peer that asks faster than it reads, or than others answer, is not read from until it has
caught up.
"""

from __future__ import annotations

import asyncio
import struct
from collections import OrderedDict
from collections.abc import Callable
from typing import cast

from sampan.dns.responder import Asker, Outcome

IDLE_S = 10.0
CONNECTIONS_MOST = 512
UNDER_WAY_MOST = 64
"""Questions of one connection that wait for others' answers."""
UNREAD_BYTES = 1 << 20
_LENGTH = struct.Struct("!H")


class Streams:
    """All connections of a server, the one that was silent longest first."""

    def __init__(self, respond: Callable[[bytes, Asker], Outcome]) -> None:
        self._respond = respond
        self._open: OrderedDict[Stream, None] = OrderedDict()

    def new(self) -> Stream:
        return Stream(self._respond, self._heard, self._gone)

    def close(self) -> None:
        for stream in tuple(self._open):
            stream.close()

    def _heard(self, stream: Stream) -> None:
        self._open[stream] = None
        self._open.move_to_end(stream)
        if len(self._open) > CONNECTIONS_MOST:
            next(iter(self._open)).close()

    def _gone(self, stream: Stream) -> None:
        self._open.pop(stream, None)


class Stream(asyncio.Protocol):
    def __init__(
        self,
        respond: Callable[[bytes, Asker], Outcome],
        heard: Callable[[Stream], None],
        gone: Callable[[Stream], None],
    ) -> None:
        self._respond, self._heard, self._gone = respond, heard, gone
        self._transport: asyncio.Transport
        self._asker = Asker(None, "tcp")
        self._read = bytearray()
        self._waiting: set[asyncio.Future[bytes]] = set()
        self._loop = asyncio.get_running_loop()
        self._heard_s = 0.0
        self._idle: asyncio.TimerHandle | None = None
        self._full = False
        """Its peer does not read."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(UNREAD_BYTES)
        address = transport.get_extra_info("peername")
        self._asker = Asker(address, "tcp", int(":" in address[0]))
        self._heard_s = self._loop.time()
        self._idle = self._loop.call_later(IDLE_S, self._look)
        self._heard(self)

    def data_received(self, data: bytes) -> None:
        self._heard_s = self._loop.time()
        self._heard(self)
        self._read += data
        self._go_on()

    def pause_writing(self) -> None:
        self._full = True
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        self._full = False
        self._go_on()

    def connection_lost(self, exc: Exception | None) -> None:
        self._gone(self)
        if self._idle is not None:
            self._idle.cancel()
        for future in self._waiting:
            future.cancel()

    def close(self) -> None:
        self._gone(self)
        self._transport.abort()

    def _go_on(self) -> None:
        """Answers what was read as a whole, as far as there is room for answers."""
        while not self._full and len(self._waiting) < UNDER_WAY_MOST and len(self._read) >= 2:
            (length,) = _LENGTH.unpack_from(self._read)
            if len(self._read) < 2 + length:
                break
            packet = bytes(self._read[2 : 2 + length])
            del self._read[: 2 + length]
            outcome = self._respond(packet, self._asker)
            if outcome is None:
                self._transport.close()
                return
            if isinstance(outcome, bytes):
                self._write(outcome)
            else:
                future = asyncio.ensure_future(outcome)
                self._waiting.add(future)
                future.add_done_callback(self._answered)
        if self._full or len(self._waiting) >= UNDER_WAY_MOST:
            self._transport.pause_reading()
        elif not self._transport.is_closing():
            self._transport.resume_reading()

    def _answered(self, future: asyncio.Future[bytes]) -> None:
        self._waiting.discard(future)
        if not future.cancelled() and not self._transport.is_closing():
            self._heard_s = self._loop.time()
            self._write(future.result())
            self._go_on()

    def _write(self, reply: bytes) -> None:
        self._transport.write(_LENGTH.pack(len(reply)) + reply)

    def _look(self) -> None:
        """One timer for the life of the connection, set anew where it was heard of meanwhile."""
        left_s = self._heard_s + IDLE_S - self._loop.time()
        if left_s > 0 or self._waiting:
            self._idle = self._loop.call_later(max(left_s, 1.0), self._look)
        else:
            self._transport.abort()
