"""Makes the kernel forget UDP flows by raw ctnetlink (linux/netfilter/nfnetlink_conntrack.h).

UDP has no handshake that would fail and start anew: a client that keeps sending stays on the flow it has, be
its endpoint gone or its Service new. One request drops all flows that match; the kernel walks its whole table
for it (milliseconds), so requests are sent from a thread.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import socket
import struct
from collections.abc import Iterable, Sequence
from ipaddress import ip_address

from sampan.proxy.contract import SocketFactory
from sampan.proxy.frontends import Front
from sampan.proxy.rules import Flows
from sampan.proxy.table import KEY_MASK, PROTOCOLS
from sampan.proxy.wire import NETLINK_NETFILTER, NLMSG_ERROR, replies

log = logging.getLogger(__name__)

_DELETE = 1 << 8 | 2
_REQUEST_ACK = 0x05
_NESTED = 0x8000
_TUPLE_ORIGINAL, _TUPLE_REPLY, _MARK, _MARK_MASK, _FILTER = 1, 2, 8, 21, 25
_TUPLE_IP, _TUPLE_PROTO = 1, 2
_IP_SOURCE = {4: 1, 6: 3}
_IP_DESTINATION = {4: 2, 6: 4}
_PROTO_NUMBER, _SOURCE_PORT, _DESTINATION_PORT = 1, 2, 3
_FILTER_ORIGINAL, _FILTER_REPLY = 1, 2
_BY_SOURCE_IP, _BY_DESTINATION_IP = 0x01, 0x02
_BY_PROTOCOL, _BY_SOURCE_PORT, _BY_DESTINATION_PORT = 0x08, 0x10, 0x20
_FAMILY = {4: socket.AF_INET, 6: socket.AF_INET6}
_TIMEOUT_S = 10.0


class KernelConntrack:
    """Keeps `contract.Conntrack`. One request at a time; owned by the proxy's flusher task."""

    def __init__(self, sockets: SocketFactory) -> None:
        self._sockets = sockets
        self._socket: socket.socket | None = None

    async def open(self) -> None:
        self._socket = await self._sockets(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER)
        self._socket.settimeout(_TIMEOUT_S)

    async def forget(self, flows: Iterable[Flows], fronts: Iterable[Front]) -> None:
        requests = [forget_endpoint(flow) for flow in flows]
        requests += [forget_front(front) for front in fronts]
        if requests and self._socket is not None:
            await asyncio.to_thread(_send_all, self._socket, requests)

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def forget_endpoint(flow: Flows) -> bytes:
    """Drops the flows of a service port that are answered by one endpoint."""
    version = ip_address(flow.address).version
    packed = ip_address(flow.address).packed
    reply = _nested(_TUPLE_IP, _attribute(_IP_SOURCE[version], packed)) + _nested(
        _TUPLE_PROTO, _udp() + _attribute(_SOURCE_PORT, struct.pack(">H", flow.port))
    )
    return _delete(
        version,
        _attribute(_MARK, struct.pack(">I", flow.key))
        + _attribute(_MARK_MASK, struct.pack(">I", KEY_MASK))
        + _nested(_TUPLE_REPLY, reply)
        + _filter(0, _BY_SOURCE_IP | _BY_PROTOCOL | _BY_SOURCE_PORT),
    )


def forget_front(front: Front) -> bytes:
    """Drops flows that were sent to this address and port, wherever they were led."""
    original, by = b"", _BY_PROTOCOL | _BY_DESTINATION_PORT
    if front.address:
        packed = ip_address(front.address).packed
        original = _nested(_TUPLE_IP, _attribute(_IP_DESTINATION[front.family], packed))
        by |= _BY_DESTINATION_IP
    original += _nested(_TUPLE_PROTO, _udp() + _attribute(_DESTINATION_PORT, struct.pack(">H", front.port)))
    return _delete(front.family, _nested(_TUPLE_ORIGINAL, original) + _filter(by, 0))


def _send_all(sock: socket.socket, requests: Sequence[bytes]) -> None:
    for request in requests:
        sock.send(request)
        number = _verdict(sock)
        if number not in (0, errno.ENOENT):
            # The rules are right all the same; only old flows linger until they time out.
            log.warning("conntrack: cannot drop UDP flows: %s", os.strerror(number))


def _verdict(sock: socket.socket) -> int:
    while True:
        for reply in replies(sock.recv(1 << 16)):
            if reply.kind == NLMSG_ERROR:
                return reply.error


def _delete(version: int, body: bytes) -> bytes:
    payload = struct.pack(">BBH", _FAMILY[version], 0, 0) + body
    return struct.pack("=IHHII", 16 + len(payload), _DELETE, _REQUEST_ACK, 0, 0) + payload


def _filter(original: int, reply: int) -> bytes:
    return _nested(
        _FILTER,
        _attribute(_FILTER_ORIGINAL, struct.pack("=I", original))
        + _attribute(_FILTER_REPLY, struct.pack("=I", reply)),
    )


def _udp() -> bytes:
    return _attribute(_PROTO_NUMBER, bytes((PROTOCOLS["udp"],)))


def _attribute(kind: int, payload: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(payload), kind) + payload + bytes(-len(payload) % 4)


def _nested(kind: int, payload: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(payload), kind | _NESTED) + payload
