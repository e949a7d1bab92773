"""A few small pages by HTTP, on a port of the node.

One request a connection: load balancers and probes ask so, and nothing lingers when the port is closed. A
client that sends no request in time is dropped, and when there are too many the eldest goes. Owned by whoever
opened it; closing ends its connections.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TypeAlias

from sampan.proxy.contract import SocketFactory

JSON = {"Content-Type": "application/json", "X-Content-Type-Options": "nosniff"}
_REQUEST_BYTES = 8192
_REQUEST_S = 10.0
_BACKLOG = 64
CONNECTIONS_MOST = 256


@dataclass(frozen=True, slots=True)
class Page:
    status: HTTPStatus
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


Answer: TypeAlias = Callable[[str], Page]
"""Path -> page."""

NOT_FOUND = Page(HTTPStatus.NOT_FOUND, b"404 page not found\n", {"Content-Type": "text/plain; charset=utf-8"})


class Pages:
    """What `answer` says, on one port."""

    def __init__(self, sockets: SocketFactory, families: tuple[int, ...], answer: Answer) -> None:
        self._sockets, self._families, self._answer = sockets, families, answer
        self._server: asyncio.Server | None = None
        self._writers: dict[asyncio.StreamWriter, None] = {}
        """Of open connections, the eldest first."""

    async def open(self, port: int, host: str = "") -> None:
        """`host` "" is every address of the node, of both families where it has both.

        Raises OSError: the port is taken.
        """
        six = ":" in host if host else 6 in self._families
        sock = await self._sockets(socket.AF_INET6 if six else socket.AF_INET, socket.SOCK_STREAM, 0)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if six:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            sock.bind((host or ("::" if six else "0.0.0.0"), port))
            self._server = await asyncio.start_server(self._serve, sock=sock, backlog=_BACKLOG)
        except OSError:
            sock.close()
            raise

    def close(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in self._writers:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers[writer] = None
        if len(self._writers) > CONNECTIONS_MOST:
            eldest = next(iter(self._writers))
            del self._writers[eldest]
            eldest.transport.abort()
        try:
            async with asyncio.timeout(_REQUEST_S):
                head = await reader.readuntil(b"\r\n\r\n")
                writer.write(self._response(head))
                await writer.drain()
        except (TimeoutError, ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            writer.transport.abort()
        finally:
            self._writers.pop(writer, None)
            writer.close()

    def _response(self, head: bytes) -> bytes:
        words = head.split(b"\r\n", 1)[0].decode("latin-1").split(" ")
        if len(words) != 3 or len(head) > _REQUEST_BYTES:
            page = Page(HTTPStatus.BAD_REQUEST, b"")
        else:
            page = self._answer(words[1].partition("?")[0])
        lines = [f"HTTP/1.1 {page.status} {page.status.phrase}"]
        lines += [f"{name}: {value}" for name, value in page.headers.items()]
        lines += [f"Content-Length: {len(page.body)}", "Connection: close", "", ""]
        return "\r\n".join(lines).encode() + (b"" if words[0] == "HEAD" else page.body)
