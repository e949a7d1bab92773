"""ICMP and ICMPv6 as bytes: echoes, and errors about them (RFC 792, RFC 4443). Pure.

`Echo` and `Trouble` are what is read of one. What is made here is the message alone: the kernel makes its
packet, and the checksum of an ICMPv6. Of packets that are quoted in an error all is ours to make.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from sampan.kubelet.network.netlink import Address

_HOPS = 64
_MOST_QUOTED = 512
"""Of a packet that an error is about; the error itself must pass every link."""
_HEAD = struct.Struct(">BBHHH")
_PLAIN_V4 = struct.Struct(">BBHHHBBH4s4s")
_PLAIN_V6 = struct.Struct(">IHBB16s16s")
_QUOTED_AT: Mapping[int, int] = {4: 12, 6: 8}
"""Where the source is in an IP header; the destination follows."""


class Kinds(NamedTuple):
    """Numbers of one family: protocol, types, and codes of `unreachable` by what is."""

    protocol: int
    request: int
    reply: int
    troubles: tuple[int, ...]
    unreachable: int
    time_exceeded: int
    no_route: int
    no_host: int
    no_port: int
    prohibited: int


KINDS: Mapping[int, Kinds] = {
    4: Kinds(1, 8, 0, (3, 11, 12), 3, 11, 0, 1, 3, 13),
    6: Kinds(58, 128, 129, (1, 2, 3, 4), 1, 3, 0, 3, 4, 1),
}


@dataclass(frozen=True, slots=True)
class Echo:
    """A request or its reply. `rest` is the sequence number and the data."""

    kind: int
    ident: int
    rest: bytes


@dataclass(frozen=True, slots=True)
class Trouble:
    """An error about an echo request that went to `target`; `quoted` is its packet from the IP header on."""

    kind: int
    code: int
    more: bytes
    target: bytes
    ident: int
    quoted: bytes


def read(version: int, message: bytes) -> Echo | Trouble | None:
    """None for anything else, and for what is cut off."""
    kinds = KINDS[version]
    if len(message) < 8:
        return None
    kind, code, _, ident, _ = _HEAD.unpack_from(message)
    if kind in (kinds.request, kinds.reply):
        return Echo(kind, ident, message[6:])
    if kind not in kinds.troubles:
        return None
    quoted = message[8:]
    length = header_length(quoted)
    size = 4 if version == 4 else 16
    if not length or quoted[0] >> 4 != version or len(quoted) < length + 8:
        return None
    if quoted[9 if version == 4 else 6] != kinds.protocol or quoted[length] != kinds.request:
        return None
    (about,) = struct.unpack_from(">H", quoted, length + 4)
    at = _QUOTED_AT[version] + size
    return Trouble(kind, code, message[4:8], quoted[at : at + size], about, quoted)


def header_length(packet: bytes) -> int:
    """Of the IP header; 0 if it is cut off."""
    if not packet:
        return 0
    length = (packet[0] & 15) * 4 if packet[0] >> 4 == 4 else 40
    return length if 20 <= length <= len(packet) else 0


def request(version: int, ident: int, rest: bytes) -> bytes:
    return _message(version, struct.pack(">BBHH", KINDS[version].request, 0, 0, ident) + rest)


def reply(version: int, ident: int, rest: bytes) -> bytes:
    return _message(version, struct.pack(">BBHH", KINDS[version].reply, 0, 0, ident) + rest)


def trouble(version: int, kind: int, code: int, quoted: bytes, more: bytes = bytes(4)) -> bytes:
    """An error about a packet, of which as much is quoted as there is room for."""
    return _message(version, struct.pack(">BBH", kind, code, 0) + more + quoted[:_MOST_QUOTED])


def requoted(found: Trouble, client: Address, ident: int) -> bytes:
    """The quoted request as `client` had sent it, by the identifier that it gave."""
    version, quoted = client.version, bytearray(found.quoted)
    length, at = header_length(found.quoted), _QUOTED_AT[client.version]
    size = len(client.packed)
    before = bytes(quoted[at : at + size]) if version == 6 else b""
    quoted[at : at + size] = client.packed
    if version == 4:
        quoted[10:12] = bytes(2)
        quoted[10:12] = struct.pack(">H", checksum(bytes(quoted[:length])))
    (old,) = struct.unpack_from(">H", quoted, length + 2)
    was = before + bytes(quoted[length + 4 : length + 6])
    now = (client.packed if version == 6 else b"") + struct.pack(">H", ident)
    struct.pack_into(">H", quoted, length + 2, adjusted(old, was, now))
    struct.pack_into(">H", quoted, length + 4, ident)
    return bytes(quoted)


def quote(client: Address, target: Address, protocol: int, head: bytes, hops: int = _HOPS) -> bytes:
    """A packet as its sender knows it; `head` are the first bytes of what it carried."""
    ends = (client.packed, target.packed)
    if client.version == 6:
        return _PLAIN_V6.pack(6 << 28, len(head), protocol, hops, *ends) + head
    first = _PLAIN_V4.pack(0x45, 0, 20 + len(head), 0, 0, hops, protocol, 0, *ends)
    return first[:10] + struct.pack(">H", checksum(first)) + first[12:] + head


def checksum(data: bytes) -> int:
    """RFC 1071."""
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def adjusted(old: int, was: bytes, now: bytes) -> int:
    """A checksum after `was` has become `now` in what it is of (RFC 1624)."""
    words = struct.unpack(f">{len(was) // 2}H", was)
    total = (~old & 0xFFFF) + sum(~word & 0xFFFF for word in words)
    total += sum(struct.unpack(f">{len(now) // 2}H", now))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def _message(version: int, body: bytes) -> bytes:
    return body if version == 6 else body[:2] + struct.pack(">H", checksum(body)) + body[4:]
