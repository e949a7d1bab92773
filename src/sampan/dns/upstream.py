"""One question to one server of somebody else's, and its answer.

Each goes out from a socket and port of its own, under an id and in letter case drawn by chance, so that a
forged answer has all of them to guess (RFC 5452). What does not fit the question is not heard. An answer that
was cut (TC) is asked for again by TCP.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import socket
import ssl
import struct
from dataclasses import dataclass

from sampan.dns.question import Query
from sampan.dns.reply import Reply, parse_reply
from sampan.dns.wire import CD, HEADER, HEADER_BYTES, MAX_UDP_BYTES, OPT, RD, Malformed


class Spoilt(Exception):
    """The server does not keep letter case; ask it in small letters."""


@dataclass(frozen=True, slots=True)
class Upstream:
    """`server_name`: what a TLS certificate has to be for, if not the address."""

    host: str
    port: int = 53
    tls: bool = False
    server_name: str = ""

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'tls://' if self.tls else ''}{host}:{self.port}"


async def ask(upstream: Upstream, query: Query, *, by_tcp: bool = False, spell: bool = True) -> Reply:
    """Raises OSError, EOFError, Malformed, Spoilt; waits for as long as it is let."""
    message = _message(query, spell=spell)
    if not by_tcp and not upstream.tls:
        reply = await _by_udp(upstream, message)
        if not reply.truncated:
            return reply
    return await _by_tcp(upstream, message)


def _message(query: Query, *, spell: bool) -> bytes:
    """The question as a resolver of our own would ask it, signatures only for those who want them."""
    header = HEADER.pack(secrets.randbits(16), RD | (query.flags & CD), 1, 0, 0, 1)
    name, rest = query.question[:-4].lower(), query.question[-4:]
    if spell:
        chance = secrets.randbits(8 * len(name))
        name = bytes(
            byte - 32 if 97 <= byte <= 122 and chance >> place & 1 else byte
            for place, byte in enumerate(name)
        )
    opt = b"\x00" + struct.pack("!HHIH", OPT, MAX_UDP_BYTES, 0x8000 if query.dnssec else 0, 0)
    return header + name + rest + opt


async def _by_udp(upstream: Upstream, message: bytes) -> Reply:
    loop = asyncio.get_running_loop()
    family = socket.AF_INET6 if ":" in upstream.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC) as sock:
        # Connected: the kernel lets in what comes from that server's port alone.
        sock.connect((upstream.host, upstream.port))
        sock.send(message)
        while True:
            packet = await loop.sock_recv(sock, 0xFFFF)
            with contextlib.suppress(Malformed):
                if (reply := _fitting(packet, message)) is not None:
                    return reply


async def _by_tcp(upstream: Upstream, message: bytes) -> Reply:
    context = ssl.create_default_context() if upstream.tls else None
    name = (upstream.server_name or upstream.host) if upstream.tls else None
    reader, writer = await asyncio.open_connection(
        upstream.host, upstream.port, ssl=context, server_hostname=name
    )
    try:
        writer.write(struct.pack("!H", len(message)) + message)
        (length,) = struct.unpack("!H", await reader.readexactly(2))
        reply = _fitting(await reader.readexactly(length), message)
        if reply is None:
            raise Malformed(None, "an answer to another question")
        return reply
    finally:
        writer.close()


def _fitting(packet: bytes, message: bytes) -> Reply | None:
    """The packet as an answer to exactly this message; None if it is none. Raises Malformed, Spoilt."""
    if packet[:2] != message[:2]:
        return None
    asked = message[HEADER_BYTES:-11]
    if len(packet) >= HEADER_BYTES and packet[3] & 15 and packet[4:6] == b"\x00\x00":
        # Old servers refuse what they do not understand with a bare header.
        packet = packet[:4] + b"\x00\x01" + b"\x00" * 6 + asked
    reply = parse_reply(packet)
    if reply.question == asked:
        return reply
    if reply.question.lower() == asked.lower():
        raise Spoilt
    return None
