"""The server's side of SPDY/3.1: streams that the client opens, as exec and port-forward need them.

Frames are read by one task per connection; headers travel through one zlib stream per direction. The peers
(client-go's spdystream) do no flow control, so a stream's unread data holds up the whole connection.
Source: the SPDY Protocol, draft 3.1 (chromium.org).
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Sequence
from typing import Protocol

from sampan.api import errors
from sampan.apiserver.exchange import Duplex, Exchange
from sampan.apiserver.streams import websocket
from sampan.apiserver.streams.pipe import Pipe

_WORDS = (
    b"options head post put delete trace accept accept-charset accept-encoding accept-language "
    b"accept-ranges age allow authorization cache-control connection content-base content-encoding "
    b"content-language content-length content-location content-md5 content-range content-type date "
    b"etag expect expires from host if-match if-modified-since if-none-match if-range "
    b"if-unmodified-since last-modified location max-forwards pragma proxy-authenticate "
    b"proxy-authorization range referer retry-after server te trailer transfer-encoding upgrade "
    b"user-agent vary via warning www-authenticate method get status 200_OK version HTTP/1.1 url "
    b"public set-cookie keep-alive origin"
)
_TAIL = (
    b"100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505"
    b"203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized"
    b"403 Forbidden404 Not Found500 Internal Server Error501 Not Implemented503 Service Unavailable"
    b"Jan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMT"
    b"chunked,text/html,image/png,image/jpg,image/gif,application/xml,application/xhtml+xml,text/plain,"
    b"text/javascript,publicprivatemax-age=gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0."
)
DICTIONARY = b"".join(len(w).to_bytes(4, "big") + w.replace(b"_", b" ") for w in _WORDS.split(b" ")) + _TAIL

_SYN_STREAM, _SYN_REPLY, _RST_STREAM, _SETTINGS, _PING, _GOAWAY = 1, 2, 3, 4, 6, 7
_FIN = 1
_VERSION = 3
MAX_FRAME_BYTES = 4 * 1024 * 1024
MAX_HEADER_BYTES = 64 * 1024
MAX_STREAMS = 2048
"""Open at one time on one connection."""
_REFUSED_STREAM = 3
_OUR_PING = bytes((0x80, _VERSION, 0, _PING, 0, 0, 0, 4, 0, 0, 0, 2))
_SERVED = "SPDY/3.1"


class Bytes(Protocol):
    """What SPDY runs over."""

    async def read_exactly(self, size: int) -> bytes:
        """Raises EOFError at the end."""

    async def write(self, data: bytes) -> None: ...

    def gone(self) -> bool:
        """Whether the peer has left, though nobody reads. Speaks to it: who left with unsent data shows it
        only then, by refusing what comes."""

    async def finish(self) -> None: ...


class Bare:
    """The upgraded connection itself."""

    def __init__(self, stream: Duplex) -> None:
        self._stream = stream

    async def read_exactly(self, size: int) -> bytes:
        try:
            return await self._stream.reader.readexactly(size)
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            raise EOFError from error

    async def write(self, data: bytes) -> None:
        self._stream.write(data)
        await self._stream.drain()

    def gone(self) -> bool:
        self._stream.write(_OUR_PING)
        return self._stream.hung_up()

    async def finish(self) -> None:
        self._stream.close()


class Tunnel:
    """SPDY's byte stream cut into WebSocket messages anywhere."""

    def __init__(self, socket: websocket.WebSocket) -> None:
        self._socket = socket
        self._held = bytearray()

    async def read_exactly(self, size: int) -> bytes:
        while len(self._held) < size:
            try:
                self._held += await self._socket.receive()
            except websocket.Closed as error:
                raise EOFError from error
        data = bytes(self._held[:size])
        del self._held[:size]
        return data

    async def write(self, data: bytes) -> None:
        await self._socket.send(data)

    def gone(self) -> bool:
        return self._socket.gone()

    async def finish(self) -> None:
        await self._socket.finish()


def asked_for(exchange: Exchange) -> bool:
    return exchange.upgrade and exchange.headers.get("upgrade", "").lower() == _SERVED.lower()


def accept(exchange: Exchange, served: Sequence[str]) -> Connection:
    """Completes the upgrade; raises 403 when no stream protocol is shared."""
    offered = [item.strip() for item in exchange.headers.get("x-stream-protocol-version", "").split(",")]
    chosen = next((item for item in served if item in offered), None)
    if chosen is None:
        message = (
            "unable to upgrade: unable to negotiate protocol: "
            f"client supports {offered}, server accepts {list(served)}"
        )
        raise errors.status_error(403, "Forbidden", message)
    duplex = exchange.accept_upgrade(_SERVED, [("X-Stream-Protocol-Version", chosen)])
    return Connection(Bare(duplex))


class Stream:
    """One stream the client opened. `headers` have lower-case names."""

    def __init__(self, connection: Connection, number: int, headers: dict[str, str]) -> None:
        self.headers = headers
        self._connection = connection
        self._number = number
        self._pipe = Pipe()
        self._read_ended = self._write_ended = False

    async def read(self) -> bytes:
        """The next bytes, b"" at the end."""
        return await self._pipe.read()

    def drop(self) -> None:
        """What the client still sends is of no interest, and must not hold up its other streams."""
        self._pipe.drop()

    async def write(self, data: bytes) -> None:
        """Raises ConnectionResetError once the peer has gone."""
        if not self._write_ended:
            await self._connection.send_data(self._number, data, fin=False)

    async def end(self) -> None:
        """Half-closes our side; safe to call twice."""
        if not self._write_ended:
            self._write_ended = True
            self._forget_if_over()
            await self._connection.send_data(self._number, b"", fin=True)

    async def feed(self, data: bytes, *, fin: bool) -> None:
        """Something the client sent; waits while nobody reads it."""
        await self._pipe.put(data, self._connection.gone)
        if fin:
            self._read_ended = True
            self._pipe.end()
            self._forget_if_over()

    def abort(self) -> None:
        """The client has reset it, or gone: what was read stays readable, then comes the end."""
        self._write_ended = self._read_ended = True
        self._pipe.end()

    def _forget_if_over(self) -> None:
        if self._read_ended and self._write_ended:
            self._connection.forget(self._number)


class Connection:
    """Reads frames in a task of its own from the moment it is made; `finish` ends it."""

    def __init__(self, carrier: Bytes) -> None:
        self._carrier = carrier
        self._streams: dict[int, Stream] = {}
        self._opened: asyncio.Queue[Stream | None] = asyncio.Queue()
        self._inflate = zlib.decompressobj(zdict=DICTIONARY)
        self._deflate = zlib.compressobj(zdict=DICTIONARY)
        self._ended = asyncio.Event()
        self._reader = asyncio.get_running_loop().create_task(self._read())

    async def next_stream(self) -> Stream | None:
        """The next stream the client opens; None once it has gone."""
        return await self._opened.get()

    async def closed(self) -> None:
        await self._ended.wait()

    def gone(self) -> bool:
        return self._carrier.gone()

    def forget(self, number: int) -> None:
        """Both sides of the stream have ended."""
        self._streams.pop(number, None)

    async def send_data(self, number: int, data: bytes, *, fin: bool) -> None:
        flags = _FIN if fin else 0
        head = number.to_bytes(4, "big") + bytes((flags,)) + len(data).to_bytes(3, "big")
        await self._carrier.write(head + data)

    async def finish(self) -> None:
        self._reader.cancel()
        await asyncio.gather(self._reader, return_exceptions=True)
        try:
            await self._carrier.finish()
        except ConnectionResetError:
            return

    async def _read(self) -> None:
        try:
            while True:
                await self._frame()
        except (EOFError, ConnectionResetError, zlib.error, ValueError):
            pass  # the peer has gone, or speaks something else: either way this is the end
        finally:
            for stream in self._streams.values():
                stream.abort()
            self._opened.put_nowait(None)
            self._ended.set()

    async def _frame(self) -> None:
        head = await self._carrier.read_exactly(8)
        flags, size = head[4], int.from_bytes(head[5:], "big")
        if size > MAX_FRAME_BYTES:
            raise ValueError("frame too large")
        payload = await self._carrier.read_exactly(size)
        if not head[0] & 0x80:
            stream = self._streams.get(int.from_bytes(head[:4], "big"))
            if stream is not None:
                await stream.feed(payload, fin=bool(flags & _FIN))
            return
        kind = int.from_bytes(head[2:4], "big")
        if kind == _SYN_STREAM:
            await self._open(payload, fin=bool(flags & _FIN))
        elif kind == _RST_STREAM:
            stream = self._streams.pop(int.from_bytes(payload[:4], "big") & 0x7FFFFFFF, None)
            if stream is not None:
                stream.abort()
        elif kind == _PING and payload[-1:] and payload[-1] % 2:  # an even one is the answer to ours
            await self._control(_PING, payload)
        elif kind == _GOAWAY:
            raise EOFError

    async def _open(self, payload: bytes, *, fin: bool) -> None:
        number = int.from_bytes(payload[:4], "big") & 0x7FFFFFFF
        headers = self._headers(payload[10:])
        # Peers hand out numbers first and write afterwards: they need not come in order.
        if not number % 2 or number in self._streams:
            raise ValueError("a stream whose number is none of the client's")
        if len(self._streams) >= MAX_STREAMS:
            await self._control(_RST_STREAM, number.to_bytes(4, "big") + _REFUSED_STREAM.to_bytes(4, "big"))
            return
        stream = Stream(self, number, headers)
        self._streams[number] = stream
        none = self._deflate.compress(bytes(4)) + self._deflate.flush(zlib.Z_SYNC_FLUSH)
        await self._control(_SYN_REPLY, number.to_bytes(4, "big") + none)
        if fin:
            await stream.feed(b"", fin=True)
        self._opened.put_nowait(stream)

    async def _control(self, kind: int, payload: bytes) -> None:
        head = bytes((0x80, _VERSION)) + kind.to_bytes(2, "big") + bytes(1) + len(payload).to_bytes(3, "big")
        await self._carrier.write(head + payload)

    def _headers(self, block: bytes) -> dict[str, str]:
        data = self._inflate.decompress(block, MAX_HEADER_BYTES)
        if len(data) < 4 or self._inflate.unconsumed_tail:
            raise ValueError("no header block, or one too large")
        position = 4

        def text() -> str:
            nonlocal position
            size = int.from_bytes(data[position : position + 4], "big")
            start, position = position + 4, position + 4 + size
            return data[start:position].decode("latin-1")

        headers: dict[str, str] = {}
        for _ in range(min(int.from_bytes(data[:4], "big"), 256)):
            name = text().lower()
            headers[name] = text()
        return headers
