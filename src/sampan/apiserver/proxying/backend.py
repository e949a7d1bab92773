"""The client's side of HTTP/1.1 as a proxy needs it: a head goes out, a head comes in, bodies pass by.

Nothing is kept but one piece of the body; a reader who is slow slows the server down.
"""

from __future__ import annotations

import asyncio
import ssl
from asyncio import StreamReader, StreamWriter
from collections.abc import Iterable, Sequence
from types import TracebackType

import httptools

from sampan.api.dialing import address_of, dial_error, unverified_tls
from sampan.apiserver.proxying.target import Target

DIAL_TIMEOUT_S = 30.0
PIECE_BYTES = 64 * 1024
HEAD_LIMIT_BYTES = 256 * 1024
_BODILESS = (204, 304)

Header = tuple[str, str]


class Unreachable(Exception):
    """The server gave no answer; the text is Go's."""


class Backend:
    """One connection, one request. Use as an async context manager: it hangs up at the end."""

    def __init__(self, reader: StreamReader, writer: StreamWriter) -> None:
        self._reader, self.writer = reader, writer
        self.reply = Reply()

    @classmethod
    async def dial(cls, target: Target, tls: ssl.SSLContext | None = None) -> Backend:
        """Raises Unreachable. Without `tls` certificates are not verified: Pods have their own."""
        if tls is None and target.scheme == "https":
            tls = unverified_tls()
        try:
            async with asyncio.timeout(DIAL_TIMEOUT_S):
                reader, writer = await asyncio.open_connection(
                    target.host, target.port, ssl=tls, limit=PIECE_BYTES
                )
        except ssl.SSLError as error:
            reason = (error.reason or str(error)).replace("_", " ").lower()
            if error.reason in ("WRONG_VERSION_NUMBER", "HTTP_REQUEST"):
                reason = "first record does not look like a TLS handshake"
            raise Unreachable(f"tls: {reason}") from error
        except OSError as error:
            raise Unreachable(dial_error(target.host, target.port, error)) from error
        return cls(reader, writer)

    async def __aenter__(self) -> Backend:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.writer.transport.abort()

    async def send(self, data: bytes) -> None:
        """Raises ConnectionError when the server has hung up."""
        self.writer.write(data)
        await self.writer.drain()

    async def answered(self, *, bodiless: bool) -> Reply:
        """The head of the answer; `bodiless` if none follows (HEAD). Raises Unreachable."""
        reply, size = self.reply, 0
        reply.bodiless = bodiless
        try:
            while not reply.begun and not reply.broken:
                data = await self._reader.read(PIECE_BYTES)
                if not data:
                    raise Unreachable("EOF")
                size += len(data)
                reply.feed(data)
                if size > HEAD_LIMIT_BYTES and not reply.begun:
                    raise Unreachable("net/http: server response headers exceeded the limit")
        except OSError as error:
            raise Unreachable(f"read tcp: {error.strerror or error}".lower()) from error
        if not reply.begun:
            raise Unreachable("net/http: HTTP/1.x transport connection broken: malformed HTTP response")
        return reply

    async def body(self) -> bytes:
        """The next piece, b"" at the end; ConnectionResetError where it breaks off before that."""
        reply = self.reply
        while not reply.pieces:
            if reply.complete:
                return b""
            data = await self._reader.read(PIECE_BYTES)
            if not data:
                if reply.framed or reply.broken:
                    raise ConnectionResetError("the answer breaks off")
                reply.complete = True  # the end of the connection is the end of the body
            elif reply.broken:
                raise ConnectionResetError("the answer breaks off")
            else:
                reply.feed(data)
        data = b"".join(reply.pieces)
        reply.pieces.clear()
        return data

    async def raw(self) -> bytes:
        """After an upgrade: whatever comes."""
        if rest := self.reply.rest:
            self.reply.rest = b""
            return rest
        return await self._reader.read(PIECE_BYTES)


class Reply:
    """What httptools has found so far. `begun`: the head is complete, and it is not an interim one."""

    def __init__(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self.code, self.reason = 0, ""
        self.headers: list[Header] = []
        self.pieces: list[bytes] = []
        self.rest = b""
        self.begun = self.complete = self.framed = self.broken = self.bodiless = False

    def feed(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self.rest = data[upgrade.args[0] :]
        except httptools.HttpParserError:
            self.broken = not self.complete

    def header(self, name: str) -> str:
        return next((value for key, value in self.headers if key.lower() == name), "")

    def on_message_begin(self) -> None:
        if not self.begun:
            self.headers, self.reason = [], ""

    def on_status(self, reason: bytes) -> None:
        self.reason += reason.decode("latin-1")

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self.begun:
            self.headers.append((name.decode("latin-1"), value.decode("latin-1")))

    def on_headers_complete(self) -> None:
        if self.begun:
            return
        self.code = self._parser.get_status_code()
        self.begun = self.code >= 200 or self.code == 101
        chunked = "chunked" in self.header("transfer-encoding").lower()
        self.framed = chunked or bool(self.header("content-length"))
        if self.begun and (self.bodiless or self.code in _BODILESS):
            self.complete = True

    def on_body(self, body: bytes) -> None:
        if self.begun and not self.complete:
            self.pieces.append(body)

    def on_message_complete(self) -> None:
        self.complete = self.begun


def head(method: str, target: str, headers: Iterable[Header]) -> bytes:
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
    return f"{method} {target} HTTP/1.1\r\n{lines}\r\n".encode("latin-1", "replace")


def without_hops(headers: Sequence[Header], *, keep_upgrade: bool = False) -> list[Header]:
    """Headers that are meant for both ends, not for the next hop only (RFC 9110, section 7.6.1)."""
    named = {
        item.strip().lower()
        for name, value in headers
        if name.lower() == "connection"
        for item in value.split(",")
    }
    dropped = (_HOPS | named) - ({"connection", "upgrade"} if keep_upgrade else set())
    return [(name, value) for name, value in headers if name.lower() not in dropped]


_HOPS = frozenset(
    [
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    ]
)


def host_of(target: Target) -> str:
    return address_of(target.host, target.port)
