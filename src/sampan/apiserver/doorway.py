"""Where clients come in: connections are accepted and, with TLS, shake hands, before they are anybody's.

Who has not said who he is costs memory all the same, with TLS some 50 KiB. So only so many may be on their
way in at once: when another comes, the one that has taken longest goes. Each has a task, owned here.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable

log = logging.getLogger(__name__)

BACKLOG = 1024
AT_ONCE = 64
"""Accepted in one turn of the loop; others have work to do as well."""
ENTERING_MOST = 1024
"""Honest clients may come in hundreds, too: when a server comes back, say."""
PAUSE_S = 1.0
"""How long nobody is accepted if that failed: descriptors have run out, say."""


class Doorway:
    """`sock` is bound, and the Doorway's from now on. `make` answers the protocol of one connection."""

    def __init__(
        self,
        sock: socket.socket,
        context: ssl.SSLContext | None,
        make: Callable[[], asyncio.Protocol],
        handshake_s: float,
    ) -> None:
        self._sock, self._context, self._make = sock, context, make
        self._handshake_s = handshake_s if context is not None else None
        self._loop = asyncio.get_running_loop()
        self._entering: dict[asyncio.Task[None], None] = {}
        """The one that has taken longest comes first."""
        self._pause: asyncio.TimerHandle | None = None

    def open(self) -> None:
        self._sock.setblocking(False)
        self._sock.listen(BACKLOG)
        self._listen()

    def close(self) -> None:
        """Nobody comes in any more, and who was about to does not."""
        if self._pause is not None:
            self._pause.cancel()
        if self._sock.fileno() >= 0:
            self._loop.remove_reader(self._sock)
            self._sock.close()
        for task in list(self._entering):
            task.cancel()

    def _listen(self) -> None:
        self._pause = None
        self._loop.add_reader(self._sock, self._accept)

    def _accept(self) -> None:
        for _ in range(AT_ONCE):
            try:
                connection, _address = self._sock.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                log.error("nobody can come in for %g s: %s", PAUSE_S, error)
                self._loop.remove_reader(self._sock)
                self._pause = self._loop.call_later(PAUSE_S, self._listen)
                return
            self._let_in(connection)

    def _let_in(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        task = self._loop.create_task(self._enter(connection))
        self._entering[task] = None
        task.add_done_callback(self._entered)
        if len(self._entering) > ENTERING_MOST:
            slowest = next(iter(self._entering))
            del self._entering[slowest]
            slowest.cancel()

    async def _enter(self, connection: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(
                self._make, connection, ssl=self._context, ssl_handshake_timeout=self._handshake_s
            )
        except OSError as error:  # also of TLS, and of one who took too long
            log.debug("a client did not come in: %s", error)
            connection.close()

    def _entered(self, task: asyncio.Task[None]) -> None:
        self._entering.pop(task, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a client did not come in", exc_info=error)
