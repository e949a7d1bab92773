"""One HTTP/1.1 connection to a server, one request on it at a time. asyncio streams and llhttp's parser."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections import deque
from collections.abc import AsyncIterator, Mapping

import httptools

from sampan.client.errors import Unreachable

CONNECT_TIMEOUT_S = 10.0
READ_BYTES = 1 << 18

KEEPALIVE_IDLE_S, KEEPALIVE_INTERVAL_S, KEEPALIVE_PROBES = 30, 10, 3
"""A peer that is gone without a word (a cut cable under an idle watch) is noticed after a minute."""


class Connection:
    """A response must be read to its end, or the connection closed, before the next `request`.

    Every failure on the way is raised as Unreachable, and so is a response that is no HTTP.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, peer: str) -> None:
        self._reader = reader
        self._writer = writer
        self._peer = peer
        self._parser = httptools.HttpResponseParser(self)
        self._head_complete = False
        self._body_complete = True
        self._stays_open = False
        """Whether, after the response, the server takes another request."""
        self._body: deque[bytes] = deque()
        self.headers: dict[str, str] = {}
        """Of the response, names in lower case."""
        self.used = False
        """Whether an earlier request went well: then the server may have closed it since."""

    @classmethod
    async def open(cls, host: str, port: int, context: ssl.SSLContext | None) -> Connection:
        peer = f"{host}:{port}"
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                reader, writer = await asyncio.open_connection(host, port, ssl=context, limit=READ_BYTES)
        except TimeoutError as error:
            raise Unreachable(f"{peer}: no connection within {CONNECT_TIMEOUT_S:g} s") from error
        except OSError as error:
            raise Unreachable(f"{peer}: {error}") from error
        _keep_alive(writer.get_extra_info("socket"))
        return cls(reader, writer, peer)

    @property
    def is_fresh(self) -> bool:
        """Whether another request may go out on it."""
        return self._body_complete and not self._reader.at_eof() and not self._writer.is_closing()

    @property
    def answered(self) -> bool:
        """Whether any of the response to the present request has come."""
        return self._head_complete

    async def request(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> int:
        """Sends a request and answers the response's status once its head is there."""
        self._parser = httptools.HttpResponseParser(self)
        self._head_complete = self._body_complete = self._stays_open = False
        self.headers = {}
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        try:
            self._writer.write(f"{method} {target} HTTP/1.1\r\n{head}\r\n".encode() + body)
            await self._writer.drain()
        except OSError as error:
            raise Unreachable(f"{self._peer}: {error}") from error
        while not self._head_complete:
            await self._receive()
        return int(self._parser.get_status_code())

    async def body(self) -> AsyncIterator[bytes]:
        """The response's body, in pieces as they come."""
        while True:
            while self._body:
                yield self._body.popleft()
            if self._body_complete:
                break
            await self._receive()
        if self._stays_open:
            self.used = True
        else:
            self.close()

    async def read(self) -> bytes:
        return b"".join([piece async for piece in self.body()])

    def close(self) -> None:
        """At once: HTTP needs no farewell from TLS, and a peer that is gone would never answer it."""
        self._writer.transport.abort()

    async def wait_closed(self) -> None:
        with contextlib.suppress(OSError):  # how it ended is of no interest any more
            await self._writer.wait_closed()

    async def _receive(self) -> None:
        try:
            data = await self._reader.read(READ_BYTES)
        except OSError as error:
            raise Unreachable(f"{self._peer}: {error}") from error
        if not data:
            if self._head_complete and self._ends_with_connection:
                self._body_complete = True
                return
            raise Unreachable(f"{self._peer}: the server closed the connection")
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            raise Unreachable(f"{self._peer}: not an HTTP response: {error}") from error

    @property
    def _ends_with_connection(self) -> bool:
        """RFC 9112, 6.3: a body with neither length nor chunks goes on until the connection is closed."""
        return "content-length" not in self.headers and "transfer-encoding" not in self.headers

    # -- called by the parser

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        # 1xx announces that the response is still to come.
        self._head_complete = self._parser.get_status_code() >= 200

    def on_body(self, piece: bytes) -> None:
        self._body.append(piece)

    def on_message_complete(self) -> None:
        if self._head_complete:
            self._body_complete = True
            self._stays_open = self._parser.should_keep_alive()  # the parser knows it only here
        else:
            self.headers = {}


def _keep_alive(connected: socket.socket) -> None:
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEPALIVE_IDLE_S)
    connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, KEEPALIVE_INTERVAL_S)
    connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, KEEPALIVE_PROBES)
