"""Which UDP flows the kernel must forget, as ctnetlink says it (linux/netfilter/nfnetlink_conntrack.h). Pure.

The kernel's filter is wrong for IPv6 addresses: it takes all but the one it is given (seen on 6.18). There,
what matches otherwise is listed, and dropped one by one if it has the address.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import ip_address

from sampan.proxy.frontends import Front
from sampan.proxy.nfnetlink import ACK, DUMP, Reply, attribute, attributes, family, message, nested
from sampan.proxy.rules import Flows
from sampan.proxy.table import KEY_MASK, PROTOCOLS

LISTED, _GET, _DELETE = 1 << 8, 1 << 8 | 1, 1 << 8 | 2
_TUPLE_ORIGINAL, _TUPLE_REPLY, _MARK, _MARK_MASK, _FILTER = 1, 2, 8, 21, 25
_TUPLE_IP, _TUPLE_PROTO = 1, 2
_IP_SOURCE = {4: 1, 6: 3}
_IP_DESTINATION = {4: 2, 6: 4}
_PROTO_NUMBER, _SOURCE_PORT, _DESTINATION_PORT = 1, 2, 3
_FILTER_ORIGINAL, _FILTER_REPLY = 1, 2
_BY_SOURCE_IP, _BY_DESTINATION_IP = 0x01, 0x02
_BY_PROTOCOL, _BY_SOURCE_PORT, _BY_DESTINATION_PORT = 0x08, 0x10, 0x20
_FAMILY = {0: socket.AF_UNSPEC, 4: socket.AF_INET, 6: socket.AF_INET6}
_VERSION = {socket.AF_INET: 4, socket.AF_INET6: 6}


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
        addresses = _parts(_parts(dict(attributes(found.body[4:]))[self.tuple])[_TUPLE_IP])
        return addresses.get(self.place) == self.address


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


def listing(version: int) -> bytes:
    """Asks for all UDP flows of a family."""
    body = _tuple(_TUPLE_ORIGINAL, b"", b"") + _filter(_BY_PROTOCOL, 0)
    return message(_GET, DUMP, 0, family(_FAMILY[version]) + body)


def forget_one(found: Reply) -> bytes:
    """Drops a flow that was listed."""
    original = dict(attributes(found.body[4:]))[_TUPLE_ORIGINAL]
    return message(_DELETE, ACK, 0, family(found.body[0]) + nested(_TUPLE_ORIGINAL, original))


class Touching:
    """All flows that began at one of these addresses, or are answered by it."""

    def __init__(self, addresses: Iterable[str]) -> None:
        self._addresses = {ip_address(address).packed for address in addresses}
        self.versions = {{4: 4, 16: 6}[len(packed)] for packed in self._addresses}

    def means(self, found: Reply) -> bool:
        parts = _parts(found.body[4:])
        place = _IP_SOURCE[_VERSION[socket.AddressFamily(found.body[0])]]
        return any(
            _parts(_parts(parts[which])[_TUPLE_IP])[place] in self._addresses
            for which in (_TUPLE_ORIGINAL, _TUPLE_REPLY)
        )


class Wanted:
    """Many wishes at once, to be held against a listing."""

    def __init__(self, flows: Iterable[Flows], fronts: Iterable[Front]) -> None:
        self._keys: set[int] = set()
        self._ends: dict[int, set[tuple[bytes, int]]] = {}
        for flow in flows:
            if flow.address:
                end = (ip_address(flow.address).packed, flow.port)
                self._ends.setdefault(flow.key, set()).add(end)
            else:
                self._keys.add(flow.key)
        self._fronts = {
            (front.family, ip_address(front.address).packed if front.address else b"", front.port)
            for front in fronts
        }

    def means(self, found: Reply) -> bool:
        parts = dict(attributes(found.body[4:]))
        key = int.from_bytes(parts.get(_MARK, b""), "big") & KEY_MASK
        if key in self._keys:
            return True
        version = _VERSION[socket.AddressFamily(found.body[0])]
        ends = self._ends.get(key)
        if ends and _end(parts[_TUPLE_REPLY], _IP_SOURCE[version], _SOURCE_PORT) in ends:
            return True
        if not self._fronts:
            return False
        address, port = _end(parts[_TUPLE_ORIGINAL], _IP_DESTINATION[version], _DESTINATION_PORT)
        return not self._fronts.isdisjoint(((version, address, port), (version, b"", port)))


def _end(flow: bytes, place: int, port: int) -> tuple[bytes, int]:
    parts = _parts(flow)
    return _parts(parts[_TUPLE_IP])[place], int.from_bytes(_parts(parts[_TUPLE_PROTO])[port], "big")


def _parts(data: bytes) -> Mapping[int, bytes]:
    return dict(attributes(data))


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
