"""The server's side of WebSocket (RFC 6455) on the raw stream of an upgraded connection."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import Sequence

from sampan.api import errors
from sampan.apiserver.exchange import Duplex, Exchange

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_CONTINUATION, _TEXT, _BINARY, _CLOSE, _PING, _PONG = 0, 1, 2, 8, 9, 10
MAX_MESSAGE_BYTES = 4 * 1024 * 1024
MAX_FRAGMENTS = 1024
NORMAL, PROTOCOL_ERROR, TOO_BIG = 1000, 1002, 1009


class Closed(Exception):
    """The peer has closed the WebSocket, or the connection under it is gone."""


def asked_for(exchange: Exchange) -> bool:
    return exchange.upgrade and exchange.headers.get("upgrade", "").lower() == "websocket"


def choose_protocol(exchange: Exchange, served: Sequence[str]) -> str:
    """The first subprotocol of the client's that is served; raises 400 when there is none."""
    offered = [item.strip() for item in exchange.headers.get("sec-websocket-protocol", "").split(",")]
    # None at all is offered as "".
    chosen = next((item for item in offered if item in served), None)
    if chosen is None:
        raise errors.bad_request(
            f"unable to upgrade: none of the subprotocols {offered} is served; served are {list(served)}"
        )
    return chosen


def accept(exchange: Exchange, protocol: str) -> WebSocket:
    """Completes the handshake; raises 400 when it is none of version 13."""
    key = exchange.headers.get("sec-websocket-key", "")
    if not key or exchange.headers.get("sec-websocket-version") != "13":
        raise errors.bad_request("unable to upgrade: not a WebSocket handshake of version 13")
    token = base64.b64encode(hashlib.sha1(key.encode("latin-1") + _GUID).digest()).decode()
    headers = [("Sec-WebSocket-Accept", token)]
    if protocol:
        headers.append(("Sec-WebSocket-Protocol", protocol))
    return WebSocket(exchange.accept_upgrade("websocket", headers))


class WebSocket:
    """Whole messages in and out. Pings are answered while somebody receives."""

    def __init__(self, stream: Duplex) -> None:
        self._stream = stream
        self._closing = False

    async def receive(self) -> bytes:
        """The next message, text and binary alike; raises Closed."""
        parts: list[bytes] = []
        size = 0
        while True:
            final, opcode, payload = await self._frame()
            if opcode == _PING:
                self._write(_PONG, payload)
            elif opcode == _CLOSE:
                self.close(NORMAL)
                raise Closed
            elif opcode in (_TEXT, _BINARY, _CONTINUATION):
                if len(parts) >= MAX_FRAGMENTS or (opcode == _CONTINUATION) != bool(parts):
                    self.close(PROTOCOL_ERROR)
                    raise Closed
                size += len(payload)
                if size > MAX_MESSAGE_BYTES:
                    self.close(TOO_BIG)
                    raise Closed
                parts.append(payload)
                if final:
                    return b"".join(parts)
            elif opcode != _PONG:
                self.close(PROTOCOL_ERROR)
                raise Closed

    async def send(self, data: bytes, *, text: bool = False) -> None:
        """Raises ConnectionResetError once the peer has gone."""
        self._write(_TEXT if text else _BINARY, data)
        await self._stream.drain()

    def gone(self) -> bool:
        """For who does not read. A ping first: one who left with unsent data shows it only when spoken to."""
        self._write(_PING, b"")
        return self._stream.hung_up()

    def close(self, code: int = NORMAL) -> None:
        if not self._closing:
            self._write(_CLOSE, code.to_bytes(2, "big"))
            self._closing = True

    async def finish(self, code: int = NORMAL) -> None:
        """Closes, waits a moment for the peer's own close, and hangs up."""
        self.close(code)
        try:
            async with asyncio.timeout(2):
                while True:
                    await self._frame()
        except (TimeoutError, Closed):
            pass
        self._stream.close()

    async def _frame(self) -> tuple[bool, int, bytes]:
        reader = self._stream.reader
        try:
            first, second = await reader.readexactly(2)
            size = second & 0x7F
            if size == 126:
                size = int.from_bytes(await reader.readexactly(2), "big")
            elif size == 127:
                size = int.from_bytes(await reader.readexactly(8), "big")
            control = first & 0x0F >= _CLOSE
            # Unmasked, with an extension that was not agreed on, or a control frame that is long or cut.
            if not second & 0x80 or first & 0x70 or (control and (size > 125 or not first & 0x80)):
                self.close(PROTOCOL_ERROR)
                raise Closed
            if size > MAX_MESSAGE_BYTES:
                self.close(TOO_BIG)
                raise Closed
            mask = await reader.readexactly(4)
            payload = _masked(await reader.readexactly(size), mask) if size else b""
        except (asyncio.IncompleteReadError, ConnectionError):
            raise Closed from None
        return bool(first & 0x80), first & 0x0F, payload

    def _write(self, opcode: int, payload: bytes) -> None:
        if self._closing:
            return
        size = len(payload)
        if size < 126:
            head = bytes((0x80 | opcode, size))
        elif size < 1 << 16:
            head = bytes((0x80 | opcode, 126)) + size.to_bytes(2, "big")
        else:
            head = bytes((0x80 | opcode, 127)) + size.to_bytes(8, "big")
        self._stream.write(head + payload)


def _masked(data: bytes, mask: bytes) -> bytes:
    """XOR with the repeated mask, as one big number: C speed without a C extension."""
    size = len(data)
    key = (mask * (size // 4 + 1))[:size]
    return (int.from_bytes(data, "little") ^ int.from_bytes(key, "little")).to_bytes(size, "little")
