"""grpc.health.v1 on the port given: SERVING for every service. Just enough of HTTP/2 for a prober."""

import socketserver
import sys

DATA, HEADERS, SETTINGS, PING = 0, 1, 4, 6
END_STREAM, ACK, END_HEADERS = 1, 1, 4
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SERVING = b"\0\0\0\0\2\x08\x01"


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


def literal(name: bytes, value: bytes) -> bytes:
    return b"\0" + bytes((len(name),)) + name + bytes((len(value),)) + value


class Health(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        self.rfile.read(len(PREFACE))
        self.wfile.write(frame(SETTINGS, 0, 0))
        while head := self.rfile.read(9):
            size, kind, flags = int.from_bytes(head[:3], "big"), head[3], head[4]
            stream, payload = int.from_bytes(head[5:], "big"), self.rfile.read(size)
            if kind in (SETTINGS, PING) and not flags & ACK:
                self.wfile.write(frame(kind, ACK, 0, payload if kind == PING else b""))
            if kind in (DATA, HEADERS) and flags & END_STREAM:
                start = b"\x88" + literal(b"content-type", b"application/grpc")
                self.wfile.write(
                    frame(HEADERS, END_HEADERS, stream, start)
                    + frame(DATA, 0, stream, SERVING)
                    + frame(HEADERS, END_HEADERS | END_STREAM, stream, literal(b"grpc-status", b"0"))
                )


socketserver.ThreadingTCPServer.allow_reuse_address = True
socketserver.ThreadingTCPServer(("", int(sys.argv[1])), Health).serve_forever()
