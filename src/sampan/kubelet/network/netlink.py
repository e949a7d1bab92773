"""rtnetlink messages as bytes: addresses, routes, neighbours (rtnetlink(7), linux/rtnetlink.h).

Pure: `Request` values are made here, `pack` puts a batch of them into one datagram, `unpack` reads what the
kernel answers. Who sends them where stands in `rtnetlink`.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
    ip_address,
)
from typing import NamedTuple, TypeAlias

Address: TypeAlias = IPv4Address | IPv6Address
Interface: TypeAlias = IPv4Interface | IPv6Interface
Network: TypeAlias = IPv4Network | IPv6Network

NLMSG_ERROR, NLMSG_DONE = 2, 3
NEW_ADDRESS, DEL_ADDRESS, GET_ADDRESS = 20, 21, 22
NEW_ROUTE, DEL_ROUTE, GET_ROUTE = 24, 25, 26
NEW_NEIGHBOUR, DEL_NEIGHBOUR = 28, 29
NEW_RULE = 32

REQUEST, ACK, DUMP_INTERRUPTED, DUMP = 0x01, 0x04, 0x10, 0x300
REPLACE, EXCLUSIVE, CREATE = 0x100, 0x200, 0x400

SCOPE_UNIVERSE, SCOPE_LINK, SCOPE_HOST = 0, 253, 254
_SCOPE_NOWHERE = 255
UNICAST, LOCAL, UNREACHABLE = 1, 2, 7
MAIN_TABLE, LOCAL_TABLE = 254, 255
PROTOCOL_STATIC = 4
_PERMANENT = 0x80
_NO_DAD = 0x02

_IFA_ADDRESS, _IFA_LOCAL = 1, 2
_RTA_DST, _RTA_OIF, _RTA_GATEWAY, _RTA_SOURCE, _RTA_MULTIPATH = 1, 4, 5, 7, 9
_ON_LINK = 0x04
_FRA_MARK, _FRA_MARK_MASK = 10, 16
_TO_TABLE = 1
_ITSELF = 0x02
_NDA_DST, _NDA_LLADDR = 1, 2
_ERROR_TEXT = 1
_CAPPED, _EXTENDED = 0x100, 0x200

HEADER = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")
_ADDRESS = struct.Struct("=BBBBI")
_ROUTE = struct.Struct("=BBBBBBBBI")
_NEIGHBOUR = struct.Struct("=BxxxiHBB")
_NEXT_HOP = struct.Struct("=HBBi")
_RULE = struct.Struct("=BBBBBBBBI")


class Request(NamedTuple):
    """One message without its sequence number, which `pack` gives it."""

    kind: int
    flags: int
    body: bytes


class Reply(NamedTuple):
    """One message from the kernel. `flags` and `body` as on the wire."""

    kind: int
    flags: int
    sequence: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Route:
    """A route as the kernel shows it; `network` None is the default route.

    Of one by several ways, the index is that of the first.
    """

    network: Network | None
    index: int
    table: int
    version: int = 4
    protocol: int = 0
    gateway: Address | None = None


def attribute(kind: int, payload: bytes) -> bytes:
    """Header, payload, padding to four bytes; the length does not count the padding."""
    return _ATTRIBUTE.pack(4 + len(payload), kind) + payload + bytes(-len(payload) % 4)


def pack(requests: Sequence[Request], first_sequence: int = 1) -> bytes:
    """All requests as one datagram, numbered from `first_sequence`."""
    return b"".join(
        HEADER.pack(16 + len(r.body), r.kind, r.flags, sequence, 0) + r.body
        for sequence, r in enumerate(requests, first_sequence)
    )


def unpack(datagram: bytes) -> Iterator[Reply]:
    """The messages of one datagram from the kernel."""
    at = 0
    while at + 16 <= len(datagram):
        length, kind, flags, sequence, _ = HEADER.unpack_from(datagram, at)
        yield Reply(kind, flags, sequence, datagram[at + 16 : at + length])
        at += (length + 3) & ~3


def attributes(data: bytes, at: int = 0) -> dict[int, bytes]:
    """The attributes from offset `at` on, by kind without its flag bits."""
    found = {}
    while at + 4 <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, at)
        if length < 4:
            break
        found[kind & 0x3FFF] = data[at + 4 : at + length]
        at += (length + 3) & ~3
    return found


def error_of(reply: Reply) -> tuple[int, str]:
    """(errno, kernel's text) of an NLMSG_ERROR; errno 0 is an acknowledgement."""
    (number,) = struct.unpack_from("=i", reply.body)
    text = ""
    if reply.flags & _EXTENDED:
        (original,) = struct.unpack_from("=I", reply.body, 4)
        at = 20 if reply.flags & _CAPPED else 4 + ((original + 3) & ~3)
        text = attributes(reply.body, at).get(_ERROR_TEXT, b"").rstrip(b"\0").decode()
    return -number, text


def get_addresses() -> Request:
    return Request(GET_ADDRESS, REQUEST | DUMP, _ADDRESS.pack(0, 0, 0, 0, 0))


def get_routes() -> Request:
    return Request(GET_ROUTE, REQUEST | DUMP, _ROUTE.pack(0, 0, 0, 0, 0, 0, 0, 0, 0))


def add_address(interface: Interface, index: int, scope: int = SCOPE_UNIVERSE) -> Request:
    """Also right when the address is there already. Duplicate address detection is off: we chose it."""
    packed = interface.ip.packed
    body = _ADDRESS.pack(
        _family(interface),
        interface.network.prefixlen,
        _NO_DAD if interface.version == 6 else 0,
        scope,
        index,
    )
    body += attribute(_IFA_LOCAL, packed) + attribute(_IFA_ADDRESS, packed)
    return Request(NEW_ADDRESS, REQUEST | ACK | CREATE | REPLACE, body)


def own_address(interface: Interface, index: int, scope: int = SCOPE_UNIVERSE) -> list[Request]:
    """An address that answers when the kernel has acknowledged it.

    To an IPv6 address the kernel itself adds the route that makes packets its own in a work item some time
    later; what comes before that is dropped, and a connection waits one second for its second try.
    """
    requests = [add_address(interface, index, scope)]
    if interface.version == 6:
        own = IPv6Network(interface.ip)
        requests.append(add_route(own, index, kind=LOCAL, table=LOCAL_TABLE))
    return requests


def add_route(
    network: Network,
    index: int = 0,
    *,
    gateway: Address | None = None,
    source: Address | None = None,
    scope: int = SCOPE_UNIVERSE,
    kind: int = UNICAST,
    table: int = MAIN_TABLE,
    protocol: int = PROTOCOL_STATIC,
    on_link: bool = False,
    replace: bool = True,
) -> Request:
    """A network of length 0 is the default route. `on_link`: the gateway is there whatever routes say."""
    flags = _ON_LINK if on_link else 0
    body = _ROUTE.pack(_family(network), network.prefixlen, 0, 0, table, protocol, scope, kind, flags)
    if network.prefixlen:
        body += attribute(_RTA_DST, network.network_address.packed)
    if gateway is not None:
        body += attribute(_RTA_GATEWAY, gateway.packed)
    if source is not None:
        body += attribute(_RTA_SOURCE, source.packed)
    if index:
        body += attribute(_RTA_OIF, struct.pack("=I", index))
    return Request(NEW_ROUTE, REQUEST | ACK | CREATE | (REPLACE if replace else EXCLUSIVE), body)


def host_route(address: Address) -> Network:
    """The network of this address alone."""
    return IPv4Network(address) if isinstance(address, IPv4Address) else IPv6Network(address)


def add_spread_route(network: Network, index: int, gateways: Sequence[Address], protocol: int) -> Request:
    """One that leads over any of these gateways, as the kernel chooses for each packet's addresses."""
    flags = REQUEST | ACK | CREATE | REPLACE
    body = _ROUTE.pack(_family(network), network.prefixlen, 0, 0, MAIN_TABLE, protocol, 0, UNICAST, 0)
    hops = b""
    for gateway in gateways:
        way = attribute(_RTA_GATEWAY, gateway.packed)
        hops += _NEXT_HOP.pack(_NEXT_HOP.size + len(way), 0, 0, index) + way
    body += attribute(_RTA_DST, network.network_address.packed) + attribute(_RTA_MULTIPATH, hops)
    return Request(NEW_ROUTE, flags, body)


def delete_route(network: Network) -> Request:
    """Takes a route of the main table away, wherever it leads."""
    body = _ROUTE.pack(_family(network), network.prefixlen, 0, 0, MAIN_TABLE, 0, _SCOPE_NOWHERE, 0, 0)
    if network.prefixlen:
        body += attribute(_RTA_DST, network.network_address.packed)
    return Request(DEL_ROUTE, REQUEST | ACK, body)


def add_neighbour(address: Address, mac: bytes, index: int) -> Request:
    """A permanent entry: nothing is ever asked for on the wire."""
    return _neighbour(NEW_NEIGHBOUR, _family(address), address, mac, index)


def delete_neighbour(address: Address, index: int) -> Request:
    return _neighbour(DEL_NEIGHBOUR, _family(address), address, b"", index)


def add_far_port(address: Address, mac: bytes, index: int) -> Request:
    """A VXLAN link's forwarding entry: frames for `mac` go to the machine at `address`."""
    return _neighbour(NEW_NEIGHBOUR, socket.AF_BRIDGE, address, mac, index)


def delete_far_port(address: Address, mac: bytes, index: int) -> Request:
    return _neighbour(DEL_NEIGHBOUR, socket.AF_BRIDGE, address, mac, index)


def _neighbour(kind: int, family: int, address: Address, mac: bytes, index: int) -> Request:
    """Of a bridge's forwarding entries, those of the link itself are meant."""
    flags = CREATE | REPLACE if kind == NEW_NEIGHBOUR else 0
    body = _NEIGHBOUR.pack(family, index, _PERMANENT, _ITSELF if family == socket.AF_BRIDGE else 0, 0)
    body += attribute(_NDA_DST, address.packed)
    if mac:
        body += attribute(_NDA_LLADDR, mac)
    return Request(kind, REQUEST | ACK | flags, body)


def add_mark_rule(version: int, mark: int, table: int) -> Request:
    """Packets of this family with all bits of `mark` look into `table` first. EEXIST if it stands."""
    family = socket.AF_INET if version == 4 else socket.AF_INET6
    body = _RULE.pack(family, 0, 0, 0, table, 0, 0, _TO_TABLE, 0)
    body += attribute(_FRA_MARK, struct.pack("=I", mark)) + attribute(_FRA_MARK_MASK, struct.pack("=I", mark))
    return Request(NEW_RULE, REQUEST | ACK | CREATE | EXCLUSIVE, body)


def addresses(replies: Iterable[Reply]) -> list[tuple[Network, int]]:
    """(the address with its prefix as a network, link index) of every address."""
    found = []
    for reply in replies:
        if reply.kind == NEW_ADDRESS:
            family, length, _, _, index = _ADDRESS.unpack_from(reply.body)
            values = attributes(reply.body, _ADDRESS.size)
            packed = values.get(_IFA_LOCAL, values.get(_IFA_ADDRESS))
            if packed is not None:
                found.append((_network(family, packed, length), index))
    return found


def routes(replies: Iterable[Reply]) -> list[Route]:
    found = []
    for reply in replies:
        if reply.kind == NEW_ROUTE:
            family, length, _, _, table, protocol, *_ = _ROUTE.unpack_from(reply.body)
            values = attributes(reply.body, _ROUTE.size)
            index = struct.unpack("=I", values[_RTA_OIF])[0] if _RTA_OIF in values else 0
            if _RTA_MULTIPATH in values:
                *_, index = _NEXT_HOP.unpack_from(values[_RTA_MULTIPATH])
            network = _network(family, values[_RTA_DST], length) if _RTA_DST in values else None
            gateway = ip_address(values[_RTA_GATEWAY]) if _RTA_GATEWAY in values else None
            version = 4 if family == socket.AF_INET else 6
            found.append(Route(network, index, table, version, protocol, gateway))
    return found


def link_of(reply: Reply) -> int:
    """The index of the link that a message about a link, an address or a route is about; 0 for none."""
    if reply.kind in (NEW_ROUTE, DEL_ROUTE):
        packed = attributes(reply.body, _ROUTE.size).get(_RTA_OIF, bytes(4))
    else:
        packed = reply.body[4:8]  # of both headers
    return int(struct.unpack("=I", packed)[0])


def mac_of(address: Address) -> bytes:
    """A locally administered MAC, the same for the same address: 0a:58 and the last four bytes of it."""
    return b"\x0a\x58" + address.packed[-4:]


def _family(value: Address | Interface | Network) -> int:
    return socket.AF_INET if value.version == 4 else socket.AF_INET6


def _network(family: int, packed: bytes, length: int) -> Network:
    if family == socket.AF_INET:
        return IPv4Network((packed, length), strict=False)
    return IPv6Network((packed, length), strict=False)
