"""The way out of the node for TCP, without a rule in the host's namespace and without host forwarding.

A rule in the node's namespace redirects connections to anywhere outside the cluster to a relay that listens
there; the relay asks the kernel where the client wanted to go (SO_ORIGINAL_DST) and connects there from the
host's namespace, where the event loop lives. The far end sees the host's address. UDP does not go this way.

Each connection is two `_Pipe`s on the event loop; each writes what the other reads, and stops the other
reading when it cannot keep up.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network
from typing import cast

from sampan.kubelet.network.netlink import Address, Network
from sampan.kubelet.network.node import NodeNamespace

log = logging.getLogger(__name__)

TABLE = "sampan_egress"
_SO_ORIGINAL_DST = 80
_SOCKADDR_IN = struct.Struct(">2xH4s8x")
_BACKLOG = 1024
_CONNECT_TIMEOUT_S = 60.0
_NEVER_OUTSIDE = tuple(
    IPv4Network(text) for text in ("0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/3")
)
"""This machine, links and groups: nothing a relay on the host may be made to connect to."""


class EgressRelay:
    """Owned by whoever starts it; the rule is gone after `stop`, or with the node's namespace."""

    def __init__(self, node: NodeNamespace) -> None:
        self._node = node
        self._inside = inside(node)
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listens, and sends Pods there. Right also when a crashed process left its rule behind."""
        listener = await self._node.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.bind(("0.0.0.0", 0))
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._accept, sock=listener, backlog=_BACKLOG)
        await self._node.load_nft(rules(self._inside, listener.getsockname()[1]))

    async def stop(self) -> None:
        """No new connections; those that run are cut."""
        if self._server is not None:
            self._server.close()
            self._server = None
            await self._node.load_nft(f"table ip {TABLE}\ndelete table ip {TABLE}\n")

    def _accept(self) -> asyncio.Protocol:
        return _Client(self._inside)


def inside(node: NodeNamespace) -> tuple[Network, ...]:
    """Where the relay does not lead: the cluster, its uplink, and what is nowhere outside."""
    own: list[Network] = []
    for family in node.plan.families:
        own += [family.cluster_cidr, family.service_cidr, family.host.network]
    return (*own, *_NEVER_OUTSIDE)


def rules(excluded: Iterable[Network], port: int) -> str:
    """The redirect, as one transaction. It comes after the Services' rules in the same hooks."""
    ranges = ", ".join(str(network) for network in excluded if network.version == 4)
    return f"""table ip {TABLE}
delete table ip {TABLE}
table ip {TABLE} {{
	set inside {{
		type ipv4_addr
		flags interval
		elements = {{ {ranges} }}
	}}
	chain pods {{
		type nat hook prerouting priority -99; policy accept;
		iifname "pod*" ip daddr != @inside meta l4proto tcp redirect to :{port}
	}}
	chain node {{
		type nat hook output priority -99; policy accept;
		ip daddr != @inside meta l4proto tcp redirect to :{port}
	}}
}}
"""


def original_destination(sock: socket.socket) -> tuple[Address, int]:
    """Where the client of a redirected connection wanted to go."""
    port, packed = _SOCKADDR_IN.unpack(sock.getsockopt(socket.SOL_IP, _SO_ORIGINAL_DST, 16))
    return IPv4Address(packed), port


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

    def __init__(self, excluded: tuple[Network, ...]) -> None:
        super().__init__()
        self._excluded = excluded
        self._connecting: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        cast(asyncio.Transport, transport).pause_reading()
        self._connecting = asyncio.get_running_loop().create_task(self._connect())

    def connection_lost(self, error: Exception | None) -> None:
        if self._connecting is not None:
            self._connecting.cancel()
        super().connection_lost(error)

    async def _connect(self) -> None:
        assert self.transport is not None
        try:
            address, port = original_destination(self.transport.get_extra_info("socket"))
            if any(address in network for network in self._excluded):
                raise ConnectionRefusedError(f"{address} is not outside")
            async with asyncio.timeout(_CONNECT_TIMEOUT_S):
                _, far = await asyncio.get_running_loop().create_connection(
                    lambda: _Pipe(self), str(address), port
                )
        except OSError as error:
            # TimeoutError is one of them. The client's connection stands already: a reset must say it.
            log.debug("egress: %s", error)
            _reset(self.transport)
        else:
            self.peer = far
            self.transport.resume_reading()


def _reset(transport: asyncio.Transport) -> None:
    sock = transport.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("=ii", 1, 0))
    transport.abort()
