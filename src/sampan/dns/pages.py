"""Pages about the DNS server, all on the port on which CoreDNS has its metrics: /metrics, /health and /ready.

CoreDNS has the latter two on 8080 and 8181. Here these ports would be the node's, and a Pod on the node's
network that listens on one of them, as many do, could not.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Mapping, Sequence

from sampan.api import process, prometheus
from sampan.dns.server import DnsServer

METRICS_PORT = 9153
READ_S = 5.0
CONNECTIONS_MOST = 256
"""When there are more, the eldest goes."""

Page = tuple[int, str, bytes]
"""Status, content type, body."""
_PLAIN = "text/plain; charset=utf-8"
_REASONS = {200: "OK", 404: "Not Found", 405: "Method Not Allowed", 503: "Service Unavailable"}


def page(server: DnsServer, method: str, path: str) -> Page:
    found = _PAGES.get(path.partition("?")[0])
    if found is None:
        return 404, _PLAIN, b"404 page not found\n"
    if method not in ("GET", "HEAD"):
        return 405, _PLAIN, b"Method Not Allowed\n"
    return found(server)


def _health(server: DnsServer) -> Page:
    return 200, _PLAIN, b"OK"


def _ready(server: DnsServer) -> Page:
    return (200, _PLAIN, b"OK") if server.ready.is_set() else (503, _PLAIN, b"kubernetes")


def _metrics(server: DnsServer) -> Page:
    families = [*server.families(), *process.families()]
    return 200, prometheus.CONTENT_TYPE, prometheus.text(families)


_PAGES: Mapping[str, Callable[[DnsServer], Page]] = {
    "/health": _health,
    "/ready": _ready,
    "/metrics": _metrics,
}


class Pages:
    """`sockets` listen. One request to a connection."""

    def __init__(self, server: DnsServer, sockets: Sequence[socket.socket]) -> None:
        self._server, self._sockets = server, sockets
        self._open: dict[asyncio.StreamWriter, None] = {}
        """The eldest first."""

    async def run(self) -> None:
        servers = [await asyncio.start_server(self._serve, sock=sock) for sock in self._sockets]
        try:
            await asyncio.Event().wait()
        finally:
            for server in servers:
                server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open[writer] = None
        if len(self._open) > CONNECTIONS_MOST:
            eldest = next(iter(self._open))
            del self._open[eldest]
            eldest.transport.abort()
        try:
            async with asyncio.timeout(READ_S):
                head = await reader.readuntil(b"\r\n\r\n")
            method, path, _ = head.split(b"\r\n", 1)[0].decode("latin-1").split(" ", 2)
            status, kind, body = page(self._server, method, path)
            writer.write(
                f"HTTP/1.1 {status} {_REASONS[status]}\r\nContent-Type: {kind}\r\n"
                f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode()
                + (b"" if method == "HEAD" else body)
            )
            await writer.drain()
        except (TimeoutError, OSError, EOFError, ValueError, asyncio.LimitOverrunError):
            return  # whoever it was does not speak HTTP, or has gone
        finally:
            self._open.pop(writer, None)
            writer.close()
