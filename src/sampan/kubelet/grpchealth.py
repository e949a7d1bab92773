"""The gRPC health protocol's `Check` over a bare HTTP/2 connection: one request, one answer.

Only what one unary call needs is here: no flow control beyond the initial window, no header compression of
our own. Sources: grpc health checking protocol (grpc.health.v1), gRPC over HTTP/2 (status in the trailers),
RFC 9113 (frames), RFC 7541 (literal headers).
"""

from __future__ import annotations

import struct
from urllib.parse import unquote

from sampan.kubelet import hpack

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, CONTINUATION = 0x0, 0x1, 0x3, 0x4, 0x6, 0x7, 0x9
ACK, END_STREAM, END_HEADERS, PADDED, PRIORITY = 0x1, 0x1, 0x4, 0x8, 0x20
STREAM = 1
SERVING = 1
UNIMPLEMENTED = "12"
FRAME_LIMIT = 1 << 14
"""SETTINGS_MAX_FRAME_SIZE as it is unless we announce another."""
HEADERS_LIMIT = 1 << 16

STATES = {0: "UNKNOWN", 1: "SERVING", 2: "NOT_SERVING", 3: "SERVICE_UNKNOWN"}
_CODES = [
    "OK",
    "Canceled",
    "Unknown",
    "InvalidArgument",
    "DeadlineExceeded",
    "NotFound",
    "AlreadyExists",
    "PermissionDenied",
    "ResourceExhausted",
    "FailedPrecondition",
    "Aborted",
    "OutOfRange",
    "Unimplemented",
    "Internal",
    "Unavailable",
    "DataLoss",
    "Unauthenticated",
]


class Unhealthy(ValueError):
    """The service answered, but not that it serves; or the answer was none of gRPC's."""


class Check:
    """Keeps dialogue.Script; ends when the service has said SERVING, else with Unhealthy."""

    def __init__(self, opening: bytes) -> None:
        self.opening = opening
        self._heard = b""
        self._body = b""
        self._block: bytes | None = None
        """The header block that is being received."""
        self._headers: dict[str, str] = {}
        self._decoder = hpack.Decoder()

    def hear(self, data: bytes) -> bytes | None:
        if not data:
            raise Unhealthy(
                "error: health rpc probe failed: rpc error: code = Unavailable desc = connection closed"
            )
        self._heard += data
        answer = b""
        while len(self._heard) >= 9:
            length = int.from_bytes(self._heard[:3], "big")
            if length > FRAME_LIMIT:
                raise _failed("Unavailable", "the server does not speak HTTP/2")
            if len(self._heard) < 9 + length:
                break
            kind, flags = self._heard[3], self._heard[4]
            stream = int.from_bytes(self._heard[5:9], "big") & 0x7FFFFFFF
            payload, self._heard = self._heard[9 : 9 + length], self._heard[9 + length :]
            if (reply := self._frame(kind, flags, stream, payload)) is None:
                return None
            answer += reply
        return answer

    def _frame(self, kind: int, flags: int, stream: int, payload: bytes) -> bytes | None:
        if kind == SETTINGS and not flags & ACK:
            return frame(SETTINGS, ACK, 0, b"")
        if kind == PING and not flags & ACK:
            return frame(PING, ACK, 0, payload)
        if kind in (GOAWAY, RST_STREAM):
            raise _failed("Unavailable", "the server has refused the stream")
        if stream != STREAM:
            return b""
        if kind == DATA:
            self._body += _bare(payload, flags)
            if len(self._body) > FRAME_LIMIT:
                raise _failed("ResourceExhausted", "the message is too large")
        elif kind in (HEADERS, CONTINUATION):
            self._take_headers(kind, flags, payload)
        if kind in (DATA, HEADERS) and flags & END_STREAM and self._block is None:
            self._ended()
        return None if self._serving() else b""

    def _take_headers(self, kind: int, flags: int, payload: bytes) -> None:
        block = payload
        if kind == HEADERS:
            block = _bare(payload, flags)[5 if flags & PRIORITY else 0 :]
        self._block = (self._block or b"") + block
        if len(self._block) > HEADERS_LIMIT:
            raise _failed("ResourceExhausted", "the headers are too large")
        if flags & END_HEADERS:
            self._headers.update(self._decoder.decode(self._block))
            self._block = None

    def _serving(self) -> bool:
        """Whether the message is there and good; raises Unhealthy if it says anything else."""
        if len(self._body) < 5 or len(self._body) - 5 < (
            length := struct.unpack_from(">I", self._body, 1)[0]
        ):
            return False
        # HealthCheckResponse: field 1, varint.
        message = self._body[5 : 5 + length]
        state = message[1] if len(message) >= 2 and message[0] == 0x08 else 0
        if state != SERVING:
            raise Unhealthy(f'service unhealthy (responded with "{STATES.get(state, state)}")')
        return True

    def _ended(self) -> None:
        if self._serving():
            return
        status, text = self._headers.get("grpc-status", ""), unquote(self._headers.get("grpc-message", ""))
        if status == UNIMPLEMENTED:
            protocol = "the grpc health protocol (grpc.health.v1.Health)"
            raise Unhealthy(f"error: this server does not implement {protocol}: {text}")
        if status.isdigit() and int(status) < len(_CODES):
            raise _failed(_CODES[int(status)], text)
        code = self._headers.get(":status", "")
        raise _failed("Unknown", f"unexpected HTTP status code received from server: {code}")


def opening(authority: str, service: str = "") -> bytes:
    """All that we say: preface, settings, one call."""
    return PREFACE + frame(SETTINGS, 0, 0, b"") + _call(authority, service)


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


def _failed(code: str, text: str) -> Unhealthy:
    return Unhealthy(f"error: health rpc probe failed: rpc error: code = {code} desc = {text}")


def _bare(payload: bytes, flags: int) -> bytes:
    if flags & PADDED and payload:
        return payload[1 : len(payload) - payload[0]]
    return payload


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
    return frame(HEADERS, END_HEADERS, STREAM, block) + frame(DATA, END_STREAM, STREAM, body)


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
