"""Network devices, as rtnetlink makes, changes and shows them (linux/if_link.h). Pure."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable
from dataclasses import dataclass

from sampan.kubelet.network.netlink import (
    ACK,
    CREATE,
    DUMP,
    EXCLUSIVE,
    REQUEST,
    Reply,
    Request,
    attribute,
    attributes,
)

NEW_LINK, DEL_LINK, GET_LINK, SET_LINK = 16, 17, 18, 19
UP = 0x1

_IFLA_ADDRESS, _IFLA_NAME, _IFLA_MTU, _IFLA_LINK, _IFLA_MASTER, _IFLA_LINKINFO = 1, 3, 4, 5, 10, 18
_IFLA_ALIAS, _IFLA_AF_SPEC, _IFLA_NET_NS_FD = 20, 26, 28
_IFLA_INET6_ADDR_GEN_MODE, _NO_GENERATED_ADDRESS = 8, 1
_INFO_KIND, _INFO_DATA, _VETH_PEER = 1, 2, 1

_LINK = struct.Struct("=BxHiII")


@dataclass(frozen=True, slots=True)
class LinkEnd:
    """One end of a veth; `mac` is six bytes, or none for one of the kernel's choice.

    Index 0 lets the kernel choose. It heeds the peer's index only when the near end has one too.
    """

    name: str
    index: int
    mac: bytes


@dataclass(frozen=True, slots=True)
class Link:
    """A link as the kernel shows it. `peer_index` is the other end's in *its* namespace, 0 without one."""

    index: int
    name: str
    peer_index: int
    alias: str
    up: bool = True


def create_veth(end: LinkEnd, peer: LinkEnd, peer_namespace_fd: int, mtu: int = 0) -> Request:
    """A veth: `end` here and up, `peer` in the namespace behind the descriptor and down.

    The kernel refuses a peer that wants to be up before the two are joined (ENOTCONN).
    """
    size = size_of_link(mtu) if mtu else b""
    other = (
        _LINK.pack(0, 0, peer.index, 0, 0)
        + _link_attributes(peer)
        + size
        + attribute(_IFLA_NET_NS_FD, struct.pack("=I", peer_namespace_fd))
    )
    return create_link("veth", end, attribute(_VETH_PEER, other), size)


def size_of_link(mtu: int) -> bytes:
    """The attribute for `create_link`."""
    return attribute(_IFLA_MTU, struct.pack("=I", mtu))


def create_link(kind: str, end: LinkEnd, data: bytes = b"", more: bytes = b"") -> Request:
    """A link that is up; `data` is what its kind asks for, `more` are further attributes of any link."""
    info = attribute(_INFO_KIND, kind.encode()) + attribute(_INFO_DATA, data)
    body = _LINK.pack(0, 0, end.index, UP, UP) + _link_attributes(end) + more
    return Request(NEW_LINK, REQUEST | ACK | CREATE | EXCLUSIVE, body + attribute(_IFLA_LINKINFO, info))


def raise_link(index: int) -> Request:
    return Request(SET_LINK, REQUEST | ACK, _LINK.pack(0, 0, index, UP, UP))


def give_no_address(index: int) -> Request:
    """The kernel makes no fe80:: of its own here: nothing solicits, detects or reports for its sake."""
    mode = attribute(_IFLA_INET6_ADDR_GEN_MODE, bytes((_NO_GENERATED_ADDRESS,)))
    body = _LINK.pack(0, 0, index, 0, 0) + attribute(_IFLA_AF_SPEC, attribute(socket.AF_INET6, mode))
    return Request(SET_LINK, REQUEST | ACK, body)


def enslave_link(index: int, master: int) -> Request:
    """Makes a link a port of the bridge `master`."""
    body = _LINK.pack(0, 0, index, 0, 0) + attribute(_IFLA_MASTER, struct.pack("=I", master))
    return Request(SET_LINK, REQUEST | ACK, body)


def name_link_owner(index: int, alias: str) -> Request:
    """The alias that `ip link` shows: it says whose the link is."""
    body = _LINK.pack(0, 0, index, 0, 0) + attribute(_IFLA_ALIAS, alias.encode())
    return Request(SET_LINK, REQUEST | ACK, body)


def delete_link(index: int) -> Request:
    return Request(DEL_LINK, REQUEST | ACK, _LINK.pack(0, 0, index, 0, 0))


def get_links() -> Request:
    return Request(GET_LINK, REQUEST | DUMP, _LINK.pack(0, 0, 0, 0, 0))


def links(replies: Iterable[Reply]) -> list[Link]:
    found = []
    for reply in replies:
        if reply.kind == NEW_LINK:
            _, _, index, flags, _ = _LINK.unpack_from(reply.body)
            values = attributes(reply.body, _LINK.size)
            peer = struct.unpack("=I", values[_IFLA_LINK])[0] if _IFLA_LINK in values else 0
            name, alias = _text(values.get(_IFLA_NAME)), _text(values.get(_IFLA_ALIAS))
            found.append(Link(index, name, peer, alias, bool(flags & UP)))
    return found


def _link_attributes(end: LinkEnd) -> bytes:
    name = attribute(_IFLA_NAME, end.name.encode() + b"\0")
    return name + attribute(_IFLA_ADDRESS, end.mac) if end.mac else name


def _text(value: bytes | None) -> str:
    return value.rstrip(b"\0").decode() if value else ""
