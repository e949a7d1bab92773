"""Questions about the rest of the world: passed on as they came, the answer passed back as it came.

Each question goes out from a socket and port of its own, so that a forged answer has both to guess
(RFC 5452). Servers are asked in the order of the host's resolv.conf.
"""

from __future__ import annotations

import asyncio
import ipaddress
import struct
from collections.abc import Sequence
from pathlib import Path

from sampan.dns.wire import HEADER_BYTES, is_truncated

TIMEOUT_S = 2.0


class Unanswered(Exception):
    """No server answered in time, or there is none to ask."""


class Resolvers:
    """The `nameserver` lines of a resolv.conf, read again when the file has changed."""

    def __init__(self, path: Path = Path("/etc/resolv.conf"), *, exclude: Sequence[str] = ()) -> None:
        self._path = path
        self._exclude = frozenset(exclude)
        self._stamp: tuple[int, int] | None = None
        self._servers: list[tuple[str, int]] = []

    def servers(self) -> Sequence[tuple[str, int]]:
        try:
            stat = self._path.stat()
        except FileNotFoundError:
            return []
        if self._stamp != (stat.st_mtime_ns, stat.st_ino):
            self._stamp = (stat.st_mtime_ns, stat.st_ino)
            self._servers = [
                (ip, 53) for ip in _nameservers(self._path.read_text()) if ip not in self._exclude
            ]
        return self._servers


def _nameservers(text: str) -> list[str]:
    found = []
    for line in text.splitlines():
        words = line.split()
        if len(words) >= 2 and words[0] == "nameserver":
            try:
                found.append(str(ipaddress.ip_address(words[1])))
            except ValueError:
                continue
    return found


class Forwarder:
    """Asks `resolvers`, one after the other."""

    def __init__(self, resolvers: Resolvers) -> None:
        self._resolvers = resolvers

    async def ask(self, packet: bytes, *, tcp: bool) -> bytes:
        """The first answer that fits the question; raises Unanswered."""
        for server in self._resolvers.servers():
            try:
                async with asyncio.timeout(TIMEOUT_S):
                    reply = await _ask_udp(packet, server)
                    if tcp and is_truncated(reply):
                        reply = await _ask_tcp(packet, server)
                    return reply
            except (TimeoutError, OSError, asyncio.IncompleteReadError):
                continue
        raise Unanswered


class _Exchange(asyncio.DatagramProtocol):
    def __init__(self, packet: bytes) -> None:
        self._packet = packet
        self.reply: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def datagram_received(self, data: bytes, addr: object) -> None:
        # The transport is connected, so only the server's port can send; the id has to fit as well.
        if len(data) >= HEADER_BYTES and data[:2] == self._packet[:2] and not self.reply.done():
            self.reply.set_result(data)

    def error_received(self, exc: Exception) -> None:
        if not self.reply.done():
            self.reply.set_exception(exc)


async def _ask_udp(packet: bytes, server: tuple[str, int]) -> bytes:
    loop = asyncio.get_running_loop()
    transport, exchange = await loop.create_datagram_endpoint(lambda: _Exchange(packet), remote_addr=server)
    try:
        transport.sendto(packet)
        return await exchange.reply
    finally:
        transport.close()


async def _ask_tcp(packet: bytes, server: tuple[str, int]) -> bytes:
    reader, writer = await asyncio.open_connection(*server)
    try:
        writer.write(struct.pack("!H", len(packet)) + packet)
        (length,) = struct.unpack("!H", await reader.readexactly(2))
        return await reader.readexactly(length)
    finally:
        writer.close()
