"""Pages about the DNS server where CoreDNS has them: 8080/health, 8181/ready, 9153/metrics."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Mapping, Sequence

from sampan.api import process, prometheus
from sampan.dns.server import DnsServer

HEALTH_PORT, READY_PORT, METRICS_PORT = 8080, 8181, 9153
PORTS = (HEALTH_PORT, READY_PORT, METRICS_PORT)
READ_S = 5.0

Page = tuple[int, str, bytes]
"""Status, content type, body."""
_PLAIN = "text/plain; charset=utf-8"
_REASONS = {200: "OK", 404: "Not Found", 405: "Method Not Allowed", 503: "Service Unavailable"}


def page(server: DnsServer, port: int, method: str, path: str) -> Page:
    pages: Mapping[tuple[int, str], Callable[[DnsServer], Page]] = {
        (HEALTH_PORT, "/health"): lambda server: (200, _PLAIN, b"OK"),
        (READY_PORT, "/ready"): _ready,
        (METRICS_PORT, "/metrics"): _metrics,
    }
    found = pages.get((port, path.partition("?")[0]))
    if found is None:
        return 404, _PLAIN, b"404 page not found\n"
    if method not in ("GET", "HEAD"):
        return 405, _PLAIN, b"Method Not Allowed\n"
    return found(server)


def _ready(server: DnsServer) -> Page:
    return (200, _PLAIN, b"OK") if server.ready.is_set() else (503, _PLAIN, b"kubernetes")


def _metrics(server: DnsServer) -> Page:
    families = [*server.families(), *process.families()]
    return 200, prometheus.CONTENT_TYPE, prometheus.text(families)


class Pages:
    """`sockets` listen; which pages are on one is told by its port. One request to a connection."""

    def __init__(self, server: DnsServer, sockets: Sequence[socket.socket]) -> None:
        self._server, self._sockets = server, sockets

    async def run(self) -> None:
        servers = [await asyncio.start_server(self._serve, sock=sock) for sock in self._sockets]
        try:
            await asyncio.Event().wait()
        finally:
            for server in servers:
                server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(READ_S):
                head = await reader.readuntil(b"\r\n\r\n")
            method, path, _ = head.split(b"\r\n", 1)[0].decode("latin-1").split(" ", 2)
            port = writer.get_extra_info("sockname")[1]
            status, kind, body = page(self._server, port, method, path)
            writer.write(
                f"HTTP/1.1 {status} {_REASONS[status]}\r\nContent-Type: {kind}\r\n"
                f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode()
                + (b"" if method == "HEAD" else body)
            )
            await writer.drain()
        except (TimeoutError, OSError, EOFError, ValueError, asyncio.LimitOverrunError):
            return  # whoever it was does not speak HTTP, or has gone
        finally:
            writer.close()
