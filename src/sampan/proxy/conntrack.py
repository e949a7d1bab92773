"""Makes the kernel forget UDP flows by raw ctnetlink (linux/netfilter/nfnetlink_conntrack.h).

UDP has no handshake that would fail and start anew: a client that keeps sending stays on the flow it has, be
its endpoint gone or its Service new. One request drops all flows that match; the kernel walks its whole table
for it (milliseconds), so requests are sent from a thread.

The kernel's filter is wrong for IPv6 addresses: it takes all but the one it is given (seen on 6.18). There,
what matches otherwise is listed, and dropped one by one if it has the address.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import socket
import struct
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from ipaddress import ip_address

from sampan.proxy.contract import SocketFactory
from sampan.proxy.frontends import Front
from sampan.proxy.nfnetlink import (
    ACK,
    DUMP,
    NETLINK_NETFILTER,
    NLMSG_DONE,
    NLMSG_ERROR,
    Reply,
    attribute,
    attributes,
    family,
    message,
    nested,
    replies,
)
from sampan.proxy.rules import Flows
from sampan.proxy.table import KEY_MASK, PROTOCOLS

log = logging.getLogger(__name__)

_NEW, _GET, _DELETE = 1 << 8, 1 << 8 | 1, 1 << 8 | 2
_TUPLE_ORIGINAL, _TUPLE_REPLY, _MARK, _MARK_MASK, _FILTER = 1, 2, 8, 21, 25
_TUPLE_IP, _TUPLE_PROTO = 1, 2
_IP_SOURCE = {4: 1, 6: 3}
_IP_DESTINATION = {4: 2, 6: 4}
_PROTO_NUMBER, _SOURCE_PORT, _DESTINATION_PORT = 1, 2, 3
_FILTER_ORIGINAL, _FILTER_REPLY = 1, 2
_BY_SOURCE_IP, _BY_DESTINATION_IP = 0x01, 0x02
_BY_PROTOCOL, _BY_SOURCE_PORT, _BY_DESTINATION_PORT = 0x08, 0x10, 0x20
_FAMILY = {0: socket.AF_UNSPEC, 4: socket.AF_INET, 6: socket.AF_INET6}
_TIMEOUT_S = 10.0
_RECEIVE_BYTES = 1 << 18


@dataclass(frozen=True, slots=True)
class Request:
    """Drops what matches `body`: all of it, or only flows whose tuple has this address at this place."""

    version: int
    body: bytes
    tuple: int = 0
    place: int = 0
    address: bytes = b""

    @property
    def bytes(self) -> bytes:
        kind, flags = (_GET, DUMP) if self.address else (_DELETE, ACK)
        return message(kind, flags, 0, family(_FAMILY[self.version]) + self.body)

    def means(self, found: Reply) -> bool:
        """Whether a listed flow is one of those."""
        tuples = dict(attributes(found.body[4:]))
        addresses = dict(attributes(dict(attributes(tuples[self.tuple]))[_TUPLE_IP]))
        return addresses.get(self.place) == self.address


class KernelConntrack:
    """Keeps `contract.Conntrack`. One request at a time; owned by the proxy's flusher task.

    Its thread is its own: Pods wait for it before they are told to end, and others do slow work in theirs.
    """

    def __init__(self, sockets: SocketFactory) -> None:
        self._sockets = sockets
        self._thread = ThreadPoolExecutor(1, "conntrack")
        self._socket: socket.socket | None = None

    async def open(self) -> None:
        self._socket = await self._sockets(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER)
        self._socket.settimeout(_TIMEOUT_S)

    async def forget(self, flows: Iterable[Flows], fronts: Iterable[Front]) -> None:
        requests = [*map(of_endpoint, flows), *map(of_front, fronts)]
        if requests and self._socket is not None:
            loop = asyncio.get_running_loop()
            await loop.run_in_executor(self._thread, _send_all, self._socket, requests)

    def close(self) -> None:
        self._thread.shutdown(wait=False)
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def of_endpoint(flow: Flows) -> Request:
    """The flows of a service port that are answered by one endpoint, or all of them."""
    mark = attribute(_MARK, struct.pack(">I", flow.key)) + attribute(_MARK_MASK, struct.pack(">I", KEY_MASK))
    if not flow.address:
        return Request(0, mark)
    address = ip_address(flow.address)
    port = attribute(_SOURCE_PORT, struct.pack(">H", flow.port))
    if address.version == 6:
        body = mark + _tuple(_TUPLE_REPLY, b"", port) + _filter(0, _BY_PROTOCOL | _BY_SOURCE_PORT)
        return Request(6, body, _TUPLE_REPLY, _IP_SOURCE[6], address.packed)
    source = attribute(_IP_SOURCE[4], address.packed)
    by = _BY_SOURCE_IP | _BY_PROTOCOL | _BY_SOURCE_PORT
    return Request(4, mark + _tuple(_TUPLE_REPLY, source, port) + _filter(0, by))


def of_front(front: Front) -> Request:
    """Flows that were sent to this address and port, wherever they were led."""
    port = attribute(_DESTINATION_PORT, struct.pack(">H", front.port))
    packed = ip_address(front.address).packed if front.address else b""
    by = _BY_PROTOCOL | _BY_DESTINATION_PORT
    if packed and front.family == 4:
        destination = attribute(_IP_DESTINATION[4], packed)
        body = _tuple(_TUPLE_ORIGINAL, destination, port) + _filter(by | _BY_DESTINATION_IP, 0)
        return Request(4, body)
    body = _tuple(_TUPLE_ORIGINAL, b"", port) + _filter(by, 0)
    return Request(front.family, body, _TUPLE_ORIGINAL, _IP_DESTINATION[front.family], packed)


def _send_all(sock: socket.socket, requests: Sequence[Request]) -> None:
    for request in requests:
        sock.send(request.bytes)
        if not request.address:
            _check(_verdict(sock))
            continue
        for found in [reply for reply in _listed(sock) if request.means(reply)]:
            original = dict(attributes(found.body[4:]))[_TUPLE_ORIGINAL]
            body = family(_FAMILY[request.version]) + nested(_TUPLE_ORIGINAL, original)
            sock.send(message(_DELETE, ACK, 0, body))
            _check(_verdict(sock))


def _check(number: int) -> None:
    if number not in (0, errno.ENOENT):
        # The rules are right all the same; only old flows linger until they time out.
        log.warning("conntrack: cannot drop UDP flows: %s", os.strerror(number))


def _verdict(sock: socket.socket) -> int:
    while True:
        for reply in replies(sock.recv(_RECEIVE_BYTES)):
            if reply.kind == NLMSG_ERROR:
                return reply.error


def _listed(sock: socket.socket) -> Iterator[Reply]:
    while True:
        for reply in replies(sock.recv(_RECEIVE_BYTES)):
            if reply.kind == NLMSG_ERROR:
                _check(reply.error)
            if reply.kind in (NLMSG_ERROR, NLMSG_DONE):
                return
            if reply.kind == _NEW:
                yield reply


def _tuple(which: int, address: bytes, port: bytes) -> bytes:
    of_ip = nested(_TUPLE_IP, address) if address else b""
    protocol = attribute(_PROTO_NUMBER, bytes((PROTOCOLS["udp"],)))
    return nested(which, of_ip + nested(_TUPLE_PROTO, protocol + port))


def _filter(original: int, reply: int) -> bytes:
    return nested(
        _FILTER,
        attribute(_FILTER_ORIGINAL, struct.pack("=I", original))
        + attribute(_FILTER_REPLY, struct.pack("=I", reply)),
    )
