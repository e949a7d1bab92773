"""Makes the kernel forget UDP flows of an address that changes hands, by raw ctnetlink.

Rules are asked about the first packet of a flow. A sender that never stops would go on, unasked, with whoever
has the address next; so what conntrack remembers of a Pod goes with it. TCP needs no such thing: a stranger's
segment is answered by a reset.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import socket
import struct
from collections.abc import Iterable
from ipaddress import ip_address
from typing import Protocol

from sampan.proxy.contract import SocketFactory
from sampan.proxy.nfnetlink import (
    ACK,
    NETLINK_NETFILTER,
    NLMSG_ERROR,
    attribute,
    family,
    message,
    nested,
    replies,
)
from sampan.proxy.table import PROTOCOLS

log = logging.getLogger(__name__)

_DELETE = 1 << 8 | 2
_TUPLE_ORIGINAL, _TUPLE_REPLY, _FILTER = 1, 2, 25
_TUPLE_IP, _TUPLE_PROTO, _PROTO_NUMBER = 1, 2, 1
_SOURCE = {4: 1, 6: 3}
_BY_SOURCE_AND_PROTOCOL = 0x01 | 0x08
_FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}
_TIMEOUT_S = 10.0


class FlowMemory(Protocol):
    async def forget(self, addresses: Iterable[str]) -> None:
        """Drops all UDP flows that began at, or lead to, these addresses."""


class KernelFlows:
    """Keeps `FlowMemory`. The kernel walks its whole memory for each request, so they go out in a thread."""

    def __init__(self, sockets: SocketFactory) -> None:
        self._sockets = sockets

    async def forget(self, addresses: Iterable[str]) -> None:
        wanted = [made for address in addresses for made in requests(address)]
        try:
            with await self._sockets(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER) as sock:
                sock.settimeout(_TIMEOUT_S)
                await asyncio.to_thread(_send_all, sock, wanted)
        except OSError as error:
            log.warning("conntrack: cannot drop UDP flows: %s", error)


def requests(address: str) -> list[bytes]:
    """One for flows from the address, one for flows whose answers come from it."""
    ip = ip_address(address)
    source = nested(_TUPLE_IP, attribute(_SOURCE[ip.version], ip.packed))
    source += nested(_TUPLE_PROTO, attribute(_PROTO_NUMBER, bytes((PROTOCOLS["udp"],))))
    found = []
    for side, by in (
        (_TUPLE_ORIGINAL, (_BY_SOURCE_AND_PROTOCOL, 0)),
        (_TUPLE_REPLY, (0, _BY_SOURCE_AND_PROTOCOL)),
    ):
        which = b"".join(attribute(n, struct.pack("=I", flags)) for n, flags in enumerate(by, 1))
        body = family(_FAMILIES[ip.version]) + nested(side, source) + nested(_FILTER, which)
        found.append(message(_DELETE, ACK, 0, body))
    return found


def _send_all(sock: socket.socket, wanted: Iterable[bytes]) -> None:
    for request in wanted:
        sock.send(request)
        number = _verdict(sock)
        if number not in (0, errno.ENOENT):
            raise OSError(number, os.strerror(number))


def _verdict(sock: socket.socket) -> int:
    while True:
        for reply in replies(sock.recv(1 << 16)):
            if reply.kind == NLMSG_ERROR:
                return reply.error
