"""The gRPC health protocol's `Check` over a bare HTTP/2 connection: one request, one answer.

Only what one unary call needs is here: no flow control beyond the initial window, no header compression of
our own; the answer's headers are not read, since the message and the trailers' mere presence say enough.
Sources: grpc health checking protocol (grpc.health.v1), RFC 9113 (frames), RFC 7541 (literal headers).
"""

from __future__ import annotations

import asyncio
import socket
import struct

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY = 0x0, 0x1, 0x3, 0x4, 0x6, 0x7
ACK, END_STREAM, END_HEADERS, PADDED = 0x1, 0x1, 0x4, 0x8
STREAM = 1
SERVING = 1
FRAME_LIMIT = 1 << 16

_STATES = {0: "UNKNOWN", 1: "SERVING", 2: "NOT_SERVING", 3: "SERVICE_UNKNOWN"}


class Unhealthy(Exception):
    """The service answered, but not that it serves; or the answer was none of gRPC's."""


async def check(sock: socket.socket, authority: str, service: str = "") -> bool:
    """True when the service says SERVING; raises Unhealthy, OSError. Closes the socket."""
    reader, writer = await asyncio.open_connection(sock=sock)
    try:
        writer.write(PREFACE + _frame(SETTINGS, 0, 0, b"") + _call(authority, service))
        message = await _message(reader, writer)
    except asyncio.IncompleteReadError as error:
        raise Unhealthy("error: health rpc failed: connection closed") from error
    finally:
        writer.transport.abort()
    # HealthCheckResponse: field 1, varint.
    state = message[1] if len(message) >= 2 and message[0] == 0x08 else 0
    if state != SERVING:
        raise Unhealthy(f'service unhealthy (responded with "{_STATES.get(state, state)}")')
    return True


async def _message(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    body = b""
    while True:
        kind, flags, stream, payload = await _read_frame(reader)
        if kind == SETTINGS and not flags & ACK:
            writer.write(_frame(SETTINGS, ACK, 0, b""))
        elif kind == PING and not flags & ACK:
            writer.write(_frame(PING, ACK, 0, payload))
        elif kind in (GOAWAY, RST_STREAM):
            raise Unhealthy("error: health rpc failed: stream refused")
        elif stream == STREAM and kind == DATA:
            body += payload[1 : len(payload) - payload[0]] if flags & PADDED else payload
            if len(body) >= 5 and len(body) - 5 >= (length := struct.unpack_from(">I", body, 1)[0]):
                return body[5 : 5 + length]
        if stream == STREAM and kind in (DATA, HEADERS) and flags & END_STREAM:
            raise Unhealthy("error: health rpc failed: no message (is the health service registered?)")


async def _read_frame(reader: asyncio.StreamReader) -> tuple[int, int, int, bytes]:
    head = await reader.readexactly(9)
    length = int.from_bytes(head[:3], "big")
    if length > FRAME_LIMIT:
        raise Unhealthy("error: health rpc failed: not an HTTP/2 server")
    stream = int.from_bytes(head[5:9], "big") & 0x7FFFFFFF
    return head[3], head[4], stream, await reader.readexactly(length)


def _call(authority: str, service: str) -> bytes:
    headers = (
        (":method", "POST"),
        (":scheme", "http"),
        (":path", "/grpc.health.v1.Health/Check"),
        (":authority", authority),
        ("content-type", "application/grpc"),
        ("user-agent", "kube-probe/1.35"),
        ("te", "trailers"),
    )
    block = b"".join(b"\x00" + _string(name) + _string(value) for name, value in headers)
    name = service.encode()
    request = b"\x0a" + _varint(len(name)) + name if name else b""
    body = b"\x00" + struct.pack(">I", len(request)) + request
    return _frame(HEADERS, END_HEADERS, STREAM, block) + _frame(DATA, END_STREAM, STREAM, body)


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


def _string(text: str) -> bytes:
    """A literal that is not Huffman coded; the 7-bit length prefix of RFC 7541, section 5.1."""
    data = text.encode()
    if len(data) < 127:
        return bytes((len(data),)) + data
    return b"\x7f" + _varint(len(data) - 127) + data


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)
