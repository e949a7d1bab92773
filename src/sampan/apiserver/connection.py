"""One client's connection: HTTP/1.1 on an asyncio transport.

Requests of a connection are answered one after the other; while one is being answered, or its answer is not
taken, reading pauses, so pipelining costs no memory and a client that does not read stops only itself, until
it has read nothing for so long that it is cut. Everything runs on one loop; a Connection's fields are touched
from its callbacks and from the one task that answers its current request.
"""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol, cast
from urllib.parse import unquote

import httptools

from sampan.apiserver.exchange import PHRASES, Duplex, Exchange, Upload
from sampan.apiserver.outbox import Outbox

MAX_BODY_BYTES = 3 * 1024 * 1024
MAX_DISCARD_BYTES = 64 * 1024 * 1024
MAX_HEAD_BYTES = 64 * 1024
WRITE_HIGH_BYTES = 256 * 1024
HEAD_TIMEOUT_S = 15.0
BODY_TIMEOUT_S = 60.0
IDLE_TIMEOUT_S = 180.0
_KEEPALIVE = ((socket.TCP_KEEPIDLE, 30), (socket.TCP_KEEPINTVL, 10), (socket.TCP_KEEPCNT, 3))


class Handler(Protocol):
    """Who answers. `answer_now` may answer without a task; when it does not, it says False."""

    def takes_body(self, exchange: Exchange) -> bool:
        """Whether the body is to be passed on as it comes (`Exchange.upload`); asked by the head."""

    def knows(self, exchange: Exchange) -> bool:
        """Whether it is somebody whose body is worth keeping; asked when that begins to come."""

    def answer_now(self, exchange: Exchange) -> bool: ...

    async def answer(self, exchange: Exchange) -> None: ...


class Owner(Protocol):
    """The server that a connection belongs to."""

    @property
    def handler(self) -> Handler: ...

    @property
    def connections(self) -> set[Connection]: ...

    def waits(self, connection: Connection) -> None: ...

    def waits_no_more(self, connection: Connection) -> None: ...

    def spawn(self, connection: Connection, exchange: Exchange) -> asyncio.Task[None]: ...


class Connection(asyncio.Protocol):
    """One client's socket: parses requests, queues them, answers them in order."""

    def __init__(self, server: Owner) -> None:
        self._server = server
        self._loop = asyncio.get_running_loop()
        self._parser = httptools.HttpRequestParser(self)
        self._queue: deque[Exchange] = deque()
        self._current: Exchange | None = None  # being answered
        self._incoming: Exchange | None = None  # being received
        self._url = b""
        self._parts: list[bytes] = []
        self._head_bytes = 0
        self._body_bytes = 0
        self._keeps_body = True
        self._reading = True
        self._since = self._loop.time()  # when what we wait for began
        self._timer: asyncio.TimerHandle | None = None
        self._duplex: Duplex | None = None
        self._writable: asyncio.Future[None] | None = None  # set while the peer does not read
        self._on_writable: Callable[[], None] | None = None
        self._pumping = False
        self.transport: asyncio.Transport = cast(asyncio.Transport, None)
        self._outbox = cast(Outbox, None)
        self.task: asyncio.Task[None] | None = None
        self.cancel_when_lost = False
        self.lost = False
        self.identity: Any = None  # whatever authentication wants to remember about this peer

    # --- what asyncio calls ---------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.set_write_buffer_limits(high=WRITE_HIGH_BYTES)
        self._outbox = Outbox(self.transport)
        self._server.connections.add(self)
        self._server.waits(self)
        self._timer = self._loop.call_later(HEAD_TIMEOUT_S, self._check_time)

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        self._server.connections.discard(self)
        self._server.waits_no_more(self)
        if self._timer is not None:
            self._timer.cancel()
        self._queue.clear()
        self._outbox.clear()
        self._release_writers()
        if self._duplex is not None:
            self._duplex.reader.feed_eof()
        if self._current is not None and self._current.upload is not None:
            self._current.upload.wake()
        if self.task is not None and self.cancel_when_lost:
            self.task.cancel()

    def pause_writing(self) -> None:
        self._outbox.blocked = True
        self._hold_writers()

    def resume_writing(self) -> None:
        self._outbox.blocked = False
        self._since = self._loop.time()
        self._outbox.push()
        if not self._outbox.full:
            self._release_writers()
            self._pump()

    def data_received(self, data: bytes) -> None:
        if self._duplex is not None:
            self._duplex.reader.feed_data(data)
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            if self._queue:
                self._queue[-1].upgrade = True
                self._queue[-1].rest = data[upgrade.args[0] :]
            self._stop_reading()
        except (httptools.HttpParserError, _Refused) as error:
            refused = error if isinstance(error, _Refused) else error.__context__
            self._refuse(refused.args[0] if isinstance(refused, _Refused) else 400)
            return
        self._pump()

    # --- what the parser calls ------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        self._incoming = Exchange(self)
        self._url, self._parts, self._head_bytes, self._body_bytes = b"", [], 0, 0
        self._since = self._loop.time()

    def on_url(self, url: bytes) -> None:
        self._url += url
        self._count_head(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count_head(len(name) + len(value) + 4)
        headers = self._receiving().headers
        key = name.decode("latin-1").lower()
        text = value.decode("latin-1")
        headers[key] = f"{headers[key]},{text}" if key in headers else text

    def on_headers_complete(self) -> None:
        exchange = self._receiving()
        exchange.method = self._parser.get_method().decode("latin-1")
        exchange.version = self._parser.get_http_version()
        exchange.keep_alive = self._parser.should_keep_alive()
        raw_path, _, query = self._url.decode("latin-1").partition("?")
        if "://" in raw_path:  # absolute form, as proxies send it
            raw_path = "/" + raw_path.partition("://")[2].partition("/")[2]
        exchange.raw_path = raw_path
        exchange.path = unquote(raw_path) if "%" in raw_path else raw_path
        exchange.raw_query = query.partition("#")[0]
        if exchange.headers.get("expect", "").lower() == "100-continue":
            self.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if self._server.handler.takes_body(exchange):
            exchange.upload = Upload(self)
            self._queue.append(exchange)

    def on_body(self, body: bytes) -> None:
        if (upload := self._receiving().upload) is not None:
            upload.feed(body)
            return
        if not self._body_bytes:
            self._keeps_body = self._server.handler.knows(self._receiving())
        self._body_bytes += len(body)
        if self._body_bytes <= MAX_BODY_BYTES:
            if self._keeps_body:
                self._parts.append(body)
            return
        # The rest is read and thrown away, so that the client gets to read the refusal.
        self._receiving().too_large = True
        self._parts.clear()
        if self._body_bytes > MAX_DISCARD_BYTES:
            raise _Refused(413)

    def on_message_complete(self) -> None:
        exchange = self._receiving()
        self._incoming = None
        if exchange.upload is not None:
            exchange.upload.end()
            return
        exchange.body = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
        self._parts = []
        self._queue.append(exchange)

    # --- answering ------------------------------------------------------------------------------------

    @property
    def upgraded(self) -> bool:
        """Whether the raw stream has been handed over."""
        return self._duplex is not None

    @property
    def paused(self) -> bool:
        """Whether the peer has stopped taking what was written."""
        return self._writable is not None

    def write(self, data: bytes) -> None:
        if not self.lost:
            self._outbox.write(data)
            if self._outbox.full:
                self._hold_writers()

    async def drain(self) -> None:
        if self._writable is not None:
            await asyncio.shield(self._writable)
        if self.lost:
            raise ConnectionResetError("the client has gone")

    def when_writable(self, callback: Callable[[], None] | None) -> None:
        """`callback` runs each time the peer takes data again; one per connection."""
        self._on_writable = callback

    def finish(self, exchange: Exchange, *payload: bytes) -> None:
        """The current answer's last bytes; the next request's turn comes."""
        for part in payload:
            self.write(part)
        if self._current is exchange:
            self._current = None
        self.cancel_when_lost = False
        self._on_writable = None
        self._since = self._loop.time()
        if exchange.upload is not None and not exchange.upload.ended:
            exchange.upload.drop()
            exchange.keep_alive = False
        if not exchange.keep_alive or exchange.upgrade:
            self._outbox.close()
            return
        self._server.waits(self)
        if not self._pumping:
            self._loop.call_soon(self._pump)

    def hand_over(self, exchange: Exchange, head: bytes) -> Duplex:
        if not exchange.upgrade:
            raise RuntimeError("the client asked for no upgrade")
        self.write(head)
        self.cancel_when_lost = False
        self._duplex = Duplex(self, exchange.rest)
        if self.lost:
            self._duplex.reader.feed_eof()
        self._keep_alive()
        self._resume_reading()
        return self._duplex

    def _keep_alive(self) -> None:
        """A long-lived stream may be silent for hours; a client whose machine has vanished must not stay."""
        sock = self.transport.get_extra_info("socket")
        if sock is not None and sock.family in (socket.AF_INET, socket.AF_INET6):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            for option, value in _KEEPALIVE:
                sock.setsockopt(socket.IPPROTO_TCP, option, value)

    def upload_taken(self, upload: Upload) -> None:
        """Somebody has read from it."""
        if not upload.full and not upload.ended and not self.transport.is_closing():
            self._resume_reading()

    def close_when_idle(self) -> None:
        """Ends the connection now if it waits for a request, else after the current answer."""
        if self._current is None and self._duplex is None:
            self._outbox.close()
        elif self._current is not None:
            self._current.keep_alive = False

    def _pump(self) -> None:
        """Takes queued requests in order until one needs a task."""
        if self._pumping or self._duplex is not None:
            return  # whose raw stream was handed over, has no more requests, and is read by others
        self._pumping = True
        try:
            while self._queue and self._current is None and not self.lost and not self.paused:
                exchange = self._queue.popleft()
                self._current = exchange
                self._server.waits_no_more(self)
                if not self._server.handler.answer_now(exchange):
                    self.task = self._server.spawn(self, exchange)
        finally:
            self._pumping = False
        current = self._current
        if self._queue or (current is not None and (current.upgrade or _is_full(current))):
            self._stop_reading()
        elif not self.transport.is_closing():
            self._resume_reading()

    def _refuse(self, code: int) -> None:
        """Garbage in: say so in HTTP and hang up; nobody else notices."""
        if self._current is None and not self.lost:
            phrase = PHRASES[code].encode()
            self.write(
                b"HTTP/1.1 %d %b\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n"
                b"Content-Length: %d\r\n\r\n%b" % (code, phrase, len(phrase), phrase)
            )
        self._queue.clear()
        self._outbox.close()

    def _check_time(self) -> None:
        """The connection's one timer: idle, slow head, slow body, slow reader. Answering has no limit."""
        now = self._loop.time()
        if self._current is not None or self._duplex is not None:
            left = IDLE_TIMEOUT_S
        elif self._incoming is None:
            left = self._since + (IDLE_TIMEOUT_S if self._url else HEAD_TIMEOUT_S) - now
        else:
            limit = BODY_TIMEOUT_S if self._incoming.method else HEAD_TIMEOUT_S
            left = self._since + limit - now
        if left <= 0:
            if self.paused or self.transport.is_closing():
                self.transport.abort()
            elif self._incoming is not None:
                self._refuse(408)
            else:
                self.transport.close()
            return
        self._timer = self._loop.call_later(max(left, 1.0), self._check_time)

    def _receiving(self) -> Exchange:
        if self._incoming is None:
            raise _Refused(400)
        return self._incoming

    def _count_head(self, size: int) -> None:
        self._head_bytes += size
        if self._head_bytes > MAX_HEAD_BYTES:
            raise _Refused(431)

    def _stop_reading(self) -> None:
        if self._reading and not self.lost:
            self._reading = False
            self.transport.pause_reading()

    def _resume_reading(self) -> None:
        if not self._reading and not self.lost:
            self._reading = True
            self.transport.resume_reading()

    def _hold_writers(self) -> None:
        if self._writable is None:
            self._writable = self._loop.create_future()

    def _release_writers(self) -> None:
        waiting, self._writable = self._writable, None
        if waiting is not None and not waiting.done():
            waiting.set_result(None)
        if self._on_writable is not None:
            self._on_writable()


def _is_full(exchange: Exchange) -> bool:
    return exchange.upload is not None and exchange.upload.full


class _Refused(Exception):
    """Raised inside parser callbacks; the argument is the HTTP code."""
