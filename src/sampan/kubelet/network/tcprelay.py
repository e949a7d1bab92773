"""TCP connections carried on: from a node's namespace to the outside, from the host's loopback to a node.

Of a redirected connection the relay asks the kernel where its client wanted to go (SO_ORIGINAL_DST), and
connects there from the host's namespace, where the event loop lives. Each connection is two `_Pipe`s on the
event loop; each writes what the other reads, and stops the other reading when it cannot keep up.

A connection costs two descriptors, which the node needs for more than that. So there is a most of them, and
one Pod has only part of it; who wants more is reset.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
from collections import Counter
from collections.abc import Callable, Sequence
from ipaddress import IPv4Address, IPv6Address
from typing import cast

from sampan.kubelet.network.netlink import Address, Network

log = logging.getLogger(__name__)

BACKLOG = 1024
_SO_ORIGINAL_DST = 80
"""Of IP and of IPv6 (linux/netfilter_ipv4.h, linux/netfilter_ipv6/ip6_tables.h)."""
_SOCKADDR_IN = struct.Struct(">2xH4s8x")
_SOCKADDR_IN6 = struct.Struct(">2xH4x16s4x")
_CONNECT_TIMEOUT_S = 60.0
MOST, MOST_OF_ONE_CLIENT = 4096, 1024
"""Connections of one relay, and of one address among them."""

Goal = Callable[[socket.socket], Sequence[tuple[str, int]]]
"""Where the connection of this socket is to go: the first of these that takes it. OSError for nowhere."""


async def relay(listener: socket.socket, excluded: Sequence[Network]) -> asyncio.Server:
    """Serves `listener`, to which connections are redirected; none is led to a network of `excluded`."""

    def outside(sock: socket.socket) -> Sequence[tuple[str, int]]:
        address, port = original_destination(sock)
        if any(address in network for network in excluded):
            raise ConnectionRefusedError(f"{address} is not outside")
        return ((str(address), port),)

    return await serve(listener, outside, MOST_OF_ONE_CLIENT)


async def serve(listener: socket.socket, goal: Goal, of_one_client: int = MOST) -> asyncio.Server:
    """Carries each connection to where `goal` says that it goes."""
    loop, room = asyncio.get_running_loop(), _Room(of_one_client)
    return await loop.create_server(lambda: _Client(goal, room), sock=listener, backlog=BACKLOG)


def original_destination(sock: socket.socket) -> tuple[Address, int]:
    """Where the client of a redirected connection wanted to go."""
    if sock.family == socket.AF_INET:
        port, packed = _SOCKADDR_IN.unpack(sock.getsockopt(socket.SOL_IP, _SO_ORIGINAL_DST, 16))
        return IPv4Address(packed), port
    port, packed = _SOCKADDR_IN6.unpack(sock.getsockopt(socket.IPPROTO_IPV6, _SO_ORIGINAL_DST, 28))
    return IPv6Address(packed), port


class _Room:
    """How many connections each address has."""

    def __init__(self, of_one_client: int) -> None:
        self._of_one_client = of_one_client
        self._taken: Counter[str] = Counter()

    def take(self, address: str) -> bool:
        """Whether there was a place left."""
        if self._taken[address] >= self._of_one_client or self._taken.total() >= MOST:
            return False
        self._taken[address] += 1
        return True

    def give_back(self, address: str) -> None:
        self._taken[address] -= 1
        if not self._taken[address]:
            del self._taken[address]


class _Pipe(asyncio.Protocol):
    """One end of a relayed connection."""

    def __init__(self, peer: _Pipe | None = None) -> None:
        self.transport: asyncio.Transport | None = None
        self.peer = peer
        self._ended = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if self.peer and self.peer.transport:
            self.peer.transport.write(data)

    def eof_received(self) -> bool:
        """The other direction may go on; when both have ended, so has the connection."""
        self._ended = True
        if self.peer and self.peer.transport and self.peer.transport.can_write_eof():
            self.peer.transport.write_eof()
        return not (self.peer and self.peer._ended)

    def connection_lost(self, error: Exception | None) -> None:
        if self.peer and self.peer.transport:
            if error:
                self.peer.transport.abort()
            else:
                self.peer.transport.close()
        self.peer = None

    def pause_writing(self) -> None:
        if self.peer and self.peer.transport:
            self.peer.transport.pause_reading()

    def resume_writing(self) -> None:
        if self.peer and self.peer.transport:
            self.peer.transport.resume_reading()


class _Client(_Pipe):
    """The end towards the Pod. Reads nothing until the far end has answered."""

    def __init__(self, goal: Goal, room: _Room) -> None:
        super().__init__()
        self._goal, self._room = goal, room
        self._address = ""
        """Whose place it has; "" if it has none."""
        self._connecting: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        cast(asyncio.Transport, transport).pause_reading()
        address = transport.get_extra_info("peername")[0]
        if not self._room.take(address):
            log.debug("egress: %s has too many connections", address)
            _reset(cast(asyncio.Transport, transport))
            return
        self._address = address
        self._connecting = asyncio.get_running_loop().create_task(self._connect())

    def connection_lost(self, error: Exception | None) -> None:
        if self._connecting is not None:
            self._connecting.cancel()
        if self._address:
            self._room.give_back(self._address)
        super().connection_lost(error)

    async def _connect(self) -> None:
        assert self.transport is not None
        try:
            far = await self._first_of(self._goal(self.transport.get_extra_info("socket")))
        except OSError as error:
            # TimeoutError is one of them. The client's connection stands already: a reset must say it.
            log.debug("egress: %s", error)
            _reset(self.transport)
        else:
            self.peer = far
            self.transport.resume_reading()

    async def _first_of(self, places: Sequence[tuple[str, int]]) -> _Pipe:
        for number, (host, port) in enumerate(places, 1):
            try:
                async with asyncio.timeout(_CONNECT_TIMEOUT_S):
                    _, far = await asyncio.get_running_loop().create_connection(
                        lambda: _Pipe(self), host, port
                    )
                return far
            except OSError:
                if number == len(places):
                    raise
        raise ConnectionRefusedError("there is nowhere to go")


def _reset(transport: asyncio.Transport) -> None:
    sock = transport.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("=ii", 1, 0))
    transport.abort()
