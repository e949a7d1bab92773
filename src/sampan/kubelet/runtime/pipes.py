"""Pipes and ptys as asyncio streams, with flow control in both directions."""

from __future__ import annotations

import asyncio
import errno
import os
from typing import IO

LIMIT_BYTES = 1 << 16


class _Reading(asyncio.StreamReaderProtocol):
    """A pty whose last user is gone answers EIO: that is its end of file."""

    def connection_lost(self, exc: Exception | None) -> None:
        if isinstance(exc, OSError) and exc.errno == errno.EIO:
            exc = None
        super().connection_lost(exc)


class _Writing(asyncio.streams.FlowControlMixin):
    """What a StreamWriter needs of its protocol where there is nothing to read."""

    def __init__(self) -> None:
        super().__init__()
        self._closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if not self._closed.done():
            self._closed.set_result(None)

    def _get_close_waiter(self, stream: asyncio.StreamWriter) -> asyncio.Future[None]:
        return self._closed


async def reader(fd: int) -> tuple[asyncio.StreamReader, asyncio.ReadTransport]:
    """Takes over the descriptor."""
    stream = asyncio.StreamReader(LIMIT_BYTES)
    file: IO[bytes] = os.fdopen(fd, "rb", buffering=0)
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(lambda: _Reading(stream), file)
    return stream, transport


async def readers(*fds: int) -> list[tuple[asyncio.StreamReader, asyncio.ReadTransport]]:
    """Takes over the descriptors, all of them also where it is cancelled after the first."""
    waiting = list(fds)
    made: list[tuple[asyncio.StreamReader, asyncio.ReadTransport]] = []
    try:
        while waiting:
            made.append(await reader(waiting.pop(0)))
    except BaseException:
        for fd in waiting:
            os.close(fd)
        for _, transport in made:
            transport.close()
        raise
    return made


async def writer(fd: int) -> asyncio.StreamWriter:
    """Takes over the descriptor. Closing the writer is the reader's end of file."""
    file: IO[bytes] = os.fdopen(fd, "wb", buffering=0)
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.connect_write_pipe(_Writing, file)
    return asyncio.StreamWriter(transport, protocol, None, loop)


class Outlet(asyncio.WriteTransport):
    """A transport of our own making, for the writing half of something that asyncio has no transport for."""

    def __init__(self) -> None:
        super().__init__()
        self._protocol = _Writing()
        self._held = False
        self.stream = asyncio.StreamWriter(self, self._protocol, None, asyncio.get_running_loop())

    def hold(self, full: bool) -> None:
        """Whether `drain` waits from now on."""
        if full != self._held:
            self._held = full
            (self._protocol.pause_writing if full else self._protocol.resume_writing)()

    def lost(self) -> None:
        """Nothing more can be written; `drain` and `wait_closed` return."""
        self._protocol.connection_lost(None)

    def write_eof(self) -> None:
        self.close()

    def can_write_eof(self) -> bool:
        return True
