"""One HTTP request and the means to answer it: at once, as a stream, or by taking the raw connection over."""

from __future__ import annotations

import asyncio
import select
from collections import deque
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any, Protocol
from urllib.parse import parse_qsl

from sampan.api.request import JSON
from sampan.apiserver.outbox import PIECE_BYTES

UPLOAD_BYTES = 256 * 1024
PHRASES = {status.value: status.phrase for status in HTTPStatus}


class Link(Protocol):
    """The connection that a request came by, as far as its answer is concerned.

    `lost`: the client has gone, and nothing that is written arrives. `paused`: it does not read what there
    is. `cancel_when_lost` may be set for as long as a task answers.
    """

    transport: asyncio.Transport
    lost: bool
    cancel_when_lost: bool
    identity: Any
    """Whatever authentication wants to remember about this peer."""

    @property
    def paused(self) -> bool: ...

    def write(self, data: bytes) -> None: ...

    async def drain(self) -> None:
        """Waits until the peer has taken enough; raises ConnectionResetError once it has gone."""

    def when_writable(self, callback: Callable[[], None] | None) -> None:
        """`callback` runs each time the peer takes data again; one per connection."""

    def finish(self, exchange: Exchange, *payload: bytes) -> None:
        """The answer's last bytes; the next request's turn comes."""

    def hand_over(self, exchange: Exchange, head: bytes) -> Duplex: ...

    def upload_taken(self, upload: Upload) -> None:
        """Somebody has read from it."""


class Duplex:
    """The raw byte stream of a connection after an upgrade."""

    def __init__(self, connection: Link, first: bytes) -> None:
        self.reader = asyncio.StreamReader()
        self.reader.set_transport(connection.transport)
        self._connection = connection
        if first:
            self.reader.feed_data(first)

    def write(self, data: bytes) -> None:
        if not self._connection.lost:
            self._connection.transport.write(data)

    async def drain(self) -> None:
        """Waits until the peer has taken enough; raises ConnectionResetError once it has gone."""
        await self._connection.drain()

    def hung_up(self) -> bool:
        """Whether the peer has left. Tells it also while nobody reads, when nothing else would."""
        if self._connection.lost or self._connection.transport.is_closing():
            return True
        sock = self._connection.transport.get_extra_info("socket")
        poll = select.poll()
        poll.register(sock.fileno(), select.POLLRDHUP)
        return bool(poll.poll(0))

    def close(self) -> None:
        self._connection.transport.close()


class Upload:
    """The body of a request, passed on while it comes in. While it piles up, the client is not read."""

    def __init__(self, connection: Link) -> None:
        self._connection = connection
        self._pieces: deque[bytes] = deque()
        self._held_bytes = 0
        self._news = asyncio.Event()
        self._unwanted = False
        self.ended = False

    @property
    def full(self) -> bool:
        return self._held_bytes >= UPLOAD_BYTES

    def feed(self, piece: bytes) -> None:
        if self._unwanted:
            return
        self._pieces.append(piece)
        self._held_bytes += len(piece)
        self._news.set()

    def end(self) -> None:
        self.ended = True
        self._news.set()

    async def read(self) -> bytes:
        """The next bytes, b"" at the end; ConnectionResetError when the client has gone before it."""
        while not self._pieces:
            if self.ended:
                return b""
            if self._connection.lost:
                raise ConnectionResetError("the client has gone")
            self._news.clear()
            await self._news.wait()
        piece = self._pieces.popleft()
        self._held_bytes -= len(piece)
        self._connection.upload_taken(self)
        return piece

    def drop(self) -> None:
        """Nobody reads it any more."""
        self._unwanted = True
        self._pieces.clear()
        self._held_bytes = 0

    def wake(self) -> None:
        """The client may have gone."""
        self._news.set()


class Exchange:
    """One request, complete with its body, and the means to answer it."""

    __slots__ = (
        "_discard",
        "_query",
        "body",
        "chunked",
        "code",
        "connection",
        "headers",
        "keep_alive",
        "method",
        "path",
        "raw_path",
        "raw_query",
        "rest",
        "started",
        "too_large",
        "upgrade",
        "upload",
        "version",
    )

    def __init__(self, connection: Link) -> None:
        self.connection = connection
        self.method = ""
        self.path = ""
        self.raw_path = ""  # as the client has escaped it
        self.raw_query = ""
        self._query: list[tuple[str, str]] | None = None
        self.headers: dict[str, str] = {}
        self.body = b""
        self.version = "1.1"
        self.keep_alive = True
        self.upgrade = False
        self.rest = b""
        self.too_large = False
        self.upload: Upload | None = None  # in place of a body, where it is passed on as it comes
        self.started = False
        self.code = 101  # of the answer; what speaks another protocol writes its own
        self.chunked = True
        self._discard = 0

    @property
    def query(self) -> list[tuple[str, str]]:
        """All query parameters in order, repeated ones included."""
        if self._query is None:
            self._query = parse_qsl(self.raw_query, keep_blank_values=True) if self.raw_query else []
        return self._query

    def respond(
        self,
        code: int,
        body: bytes = b"",
        content_type: str = JSON,
        headers: Iterable[tuple[str, str]] = (),
    ) -> None:
        """The whole answer at once. Does nothing when the client has gone."""
        if self.started:
            raise RuntimeError("answered twice")
        self.started = True
        head = self._head(code, content_type, headers, f"Content-Length: {len(body)}\r\n")
        if self.method == "HEAD":
            self.connection.finish(self, head)
        elif len(body) > PIECE_BYTES:
            self.connection.finish(self, head, body)
        else:
            self.connection.finish(self, head + body)

    def start_stream(self, code: int, content_type: str, headers: Iterable[tuple[str, str]] = ()) -> None:
        """Begins an answer of unknown length; `send` its parts and `end` it."""
        self.started = True
        self.chunked = self.version == "1.1"
        if not self.chunked:
            self.keep_alive = False
        framing = "Transfer-Encoding: chunked\r\n" if self.chunked else ""
        self.connection.write(self._head(code, content_type, headers, framing))

    def start_relay(
        self, code: int, reason: str, headers: Iterable[tuple[str, str]], *, framed: bool
    ) -> None:
        """Begins an answer that another server has given; `send` its body and `end` it.

        `framed`: the headers tell the body's length, or there is none.
        """
        self.started = True
        self.chunked = not framed and self.version == "1.1"
        if self.version != "1.1":
            self.keep_alive = False
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
        closing = self._closing()
        framing = "Transfer-Encoding: chunked\r\n" if self.chunked else ""
        head = f"HTTP/1.1 {code} {reason}\r\n{lines}{closing}{framing}\r\n"
        self.connection.write(head.encode("latin-1", "replace"))

    def send(self, part: bytes) -> None:
        if part:
            self.connection.write(chunk(part) if self.chunked else part)

    def end(self) -> None:
        self.connection.finish(self, b"0\r\n\r\n" if self.chunked else b"")

    def accept_upgrade(self, protocol: str, headers: Iterable[tuple[str, str]] = ()) -> Duplex:
        """Answers 101 and hands over the raw stream; the connection ends when its Duplex is closed."""
        self.started = True
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
        head = (
            f"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: {protocol}\r\n{lines}\r\n"
        )
        return self.connection.hand_over(self, head.encode("latin-1"))

    async def drain(self) -> None:
        await self.connection.drain()

    def _closing(self) -> str:
        """The header that says so if this is the last answer: also where the rest of a body is not read."""
        if self.upload is not None and not self.upload.ended:
            self.keep_alive = False
        return "" if self.keep_alive else "Connection: close\r\n"

    def _head(self, code: int, content_type: str, headers: Iterable[tuple[str, str]], framing: str) -> bytes:
        self.code = code
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
        closing = self._closing()
        return (
            f"HTTP/1.1 {code} {PHRASES.get(code, 'Status')}\r\nContent-Type: {content_type}\r\n"
            f"Cache-Control: no-cache, private\r\n{lines}{closing}{framing}\r\n"
        ).encode("latin-1", "replace")


def chunk(data: bytes) -> bytes:
    """One chunk of a chunked body."""
    return b"%x\r\n%b\r\n" % (len(data), data)
