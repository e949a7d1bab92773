"""The HTTP server: listens, and owns the connections and the tasks that answer."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from asyncio import sslproto

from sampan.apiserver.connection import HEAD_TIMEOUT_S, Connection, Handler
from sampan.apiserver.exchange import Exchange

log = logging.getLogger(__name__)

TLS_READ_BYTES = 32 * 1024
"""What every TLS connection holds for reading; asyncio's own 256 KiB make idle clients dear."""


class HttpServer:
    """Listens on sockets that are already bound, plain or TLS, and owns the tasks that answer."""

    def __init__(self, handler: Handler) -> None:
        self.handler = handler
        self.connections: set[Connection] = set()
        self._servers: list[asyncio.Server] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def listen(self, sock: socket.socket, context: ssl.SSLContext | None) -> None:
        loop = asyncio.get_running_loop()
        if sock.family in (socket.AF_INET, socket.AF_INET6):
            # asyncio does it for sockets of its own making only. Without it, what follows the end of a TLS
            # handshake waits for a delayed acknowledgement: 40 ms for the first answer of every connection.
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sslproto.SSLProtocol.max_size = TLS_READ_BYTES
        timeout = HEAD_TIMEOUT_S if context is not None else None
        self._servers.append(
            await loop.create_server(
                lambda: Connection(self), sock=sock, ssl=context, ssl_handshake_timeout=timeout, backlog=1024
            )
        )

    def spawn(self, connection: Connection, exchange: Exchange) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(self._answer(connection, exchange))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def stop(self, grace_s: float = 1.0) -> None:
        """Stops listening, lets answers in progress finish for `grace_s`, then cuts the rest."""
        for server in self._servers:
            server.close()
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
        self._servers.clear()

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
