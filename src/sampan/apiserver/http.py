"""The HTTP server: listens, and owns the connections and the tasks that answer.

Connections on which nothing is being answered are kept for their next request, but only so many: beyond
that the one that has waited longest goes.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from asyncio import sslproto

from sampan.apiserver.connection import HEAD_TIMEOUT_S, Connection, Handler
from sampan.apiserver.doorway import Doorway
from sampan.apiserver.exchange import Exchange

log = logging.getLogger(__name__)

TLS_READ_BYTES = 32 * 1024
"""What every TLS connection holds for reading; asyncio's own 256 KiB make idle clients dear."""
WAITING_MOST = 2000
"""Connections without a whole request, of which each costs some 60 KiB with TLS."""


class HttpServer:
    """Listens on sockets that are already bound, plain or TLS, and owns the tasks that answer."""

    def __init__(self, handler: Handler) -> None:
        self.handler = handler
        self.connections: set[Connection] = set()
        self._waiting: dict[Connection, None] = {}
        """On which nothing is being answered; the one that has waited longest comes first."""
        self._doorways: list[Doorway] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def listen(self, sock: socket.socket, context: ssl.SSLContext | None) -> None:
        if sock.family in (socket.AF_INET, socket.AF_INET6):
            # asyncio does it for sockets of its own making only. Without it, what follows the end of a TLS
            # handshake waits for a delayed acknowledgement: 40 ms for the first answer of every connection.
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sslproto.SSLProtocol.max_size = TLS_READ_BYTES
        doorway = Doorway(sock, context, lambda: Connection(self), HEAD_TIMEOUT_S)
        self._doorways.append(doorway)
        doorway.open()

    def waits(self, connection: Connection) -> None:
        """For its client to ask, or to ask again."""
        self._waiting[connection] = None
        if len(self._waiting) > WAITING_MOST:
            longest = next(iter(self._waiting))
            del self._waiting[longest]
            longest.transport.abort()

    def waits_no_more(self, connection: Connection) -> None:
        """It has something to answer, or is gone."""
        self._waiting.pop(connection, None)

    def spawn(self, connection: Connection, exchange: Exchange) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(self._answer(connection, exchange))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def stop(self, grace_s: float = 1.0) -> None:
        """Stops listening, lets answers in progress finish for `grace_s`, then cuts the rest."""
        for doorway in self._doorways:
            doorway.close()
        for connection in list(self.connections):
            connection.close_when_idle()
        for connection in list(self.connections):
            if connection.task is not None and (connection.cancel_when_lost or connection.upgraded):
                connection.task.cancel()
            if connection.upgraded:
                connection.transport.abort()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=grace_s)
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)
        for connection in list(self.connections):
            connection.transport.abort()
        self._doorways.clear()

    async def _answer(self, connection: Connection, exchange: Exchange) -> None:
        try:
            await self.handler.answer(exchange)
        except ConnectionResetError:
            connection.transport.abort()
        except asyncio.CancelledError:
            connection.transport.close()
            raise
        except Exception:
            log.exception("%s %s failed", exchange.method, exchange.path)
            connection.transport.abort()


def bound_socket(host: str, port: int) -> socket.socket:
    """A listening TCP socket on host:port (port 0: any free one)."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
        sock.setblocking(False)
    except OSError:
        sock.close()
        raise
    return sock
