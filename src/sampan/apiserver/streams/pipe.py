"""Bytes on their way from who reads a connection to who uses them, bounded by their number.

Reading stops while a pipe is full; then nobody would notice that the client has left. So who waits for room
looks now and then whether somebody is still there. Everything runs on the event loop.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

LIMIT_BYTES = 256 * 1024
LOOK_S = 10.0


class Pipe:
    """One writer, one reader."""

    def __init__(self) -> None:
        self._pieces: deque[bytes] = deque()
        self._held_bytes = 0
        self._ended = self._unwanted = False
        self._news = asyncio.Event()
        self._room = asyncio.Event()

    async def put(self, data: bytes, gone: Callable[[], bool]) -> None:
        """Takes the bytes; waits while there are too many. ConnectionResetError once the client is `gone`."""
        if self._unwanted or self._ended or not data:
            return
        self._pieces.append(data)
        self._held_bytes += len(data)
        self._news.set()
        while self._held_bytes > LIMIT_BYTES and not self._unwanted:
            self._room.clear()
            try:
                async with asyncio.timeout(LOOK_S):
                    await self._room.wait()
            except TimeoutError:
                if gone():
                    raise ConnectionResetError("the client has gone") from None

    def end(self) -> None:
        """Nothing more comes; what is here may still be read. Safe to call twice."""
        self._ended = True
        self._news.set()

    def drop(self) -> None:
        """Nobody reads any more: what comes is thrown away."""
        self._unwanted = True
        self._pieces.clear()
        self._held_bytes = 0
        self._room.set()

    async def read(self) -> bytes:
        """The next bytes, b"" at the end and ever after."""
        while not self._pieces:
            if self._ended or self._unwanted:
                return b""
            self._news.clear()
            await self._news.wait()
        data = self._pieces.popleft()
        self._held_bytes -= len(data)
        if self._held_bytes <= LIMIT_BYTES:
            self._room.set()
        return data
