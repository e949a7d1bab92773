"""What a connection has still to say.

asyncio takes whatever it is given: a list of 30 MB would lie encrypted in its buffers until the client has
read it, and so would the answer to each request sent after it. Here large writes go to the transport in
pieces, and only while it says that the client takes them.
"""

from __future__ import annotations

import asyncio
from collections import deque

PIECE_BYTES = 64 * 1024


class Outbox:
    """`blocked` is what the transport said last (pause_writing, resume_writing)."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._pieces: deque[memoryview | bytes] = deque()
        self._closing = False
        self.blocked = False

    @property
    def full(self) -> bool:
        """Whether more would only pile up."""
        return self.blocked or bool(self._pieces)

    def write(self, data: bytes) -> None:
        if len(data) <= PIECE_BYTES:
            if self.full:
                self._pieces.append(data)
            else:
                self._transport.write(data)
            return
        view = memoryview(data)
        self._pieces.extend(view[at : at + PIECE_BYTES] for at in range(0, len(view), PIECE_BYTES))
        self.push()

    def push(self) -> None:
        """Hands over as much as the transport takes."""
        while self._pieces and not self.blocked:
            self._transport.write(self._pieces.popleft())
        if self._closing and not self._pieces:
            self._transport.close()

    def close(self) -> None:
        """Ends the connection once everything has been handed over."""
        self._closing = True
        self.push()

    def clear(self) -> None:
        """Nobody will read the rest."""
        self._pieces.clear()
