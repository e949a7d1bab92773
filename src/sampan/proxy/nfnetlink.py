"""How messages to the kernel's netfilter are framed (linux/netlink.h, linux/netfilter/nfnetlink.h). Pure.

A message is a header and a body of attributes, which may nest; several messages between a begin and an end
are a batch, which the kernel takes whole or not at all.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from typing import NamedTuple

NETLINK_NETFILTER = 12
NLMSG_ERROR, NLMSG_DONE = 2, 3
REQUEST, ACK, DUMP = 0x01, 0x04, 0x300
EXCLUSIVE, CREATE, APPEND = 0x200, 0x400, 0x800
NFTABLES = 10
INET = 1
_DUMP_INTERRUPTED = 0x10
_BATCH_BEGIN, _BATCH_END = 0x10, 0x11
NESTED = 0x8000

_GET_CHAIN, _GET_ELEMENTS = 4, 13
_CHAIN_TABLE, _CHAIN_NAME = 1, 3
_LIST_TABLE, _LIST_SET = 1, 2

_HEADER = struct.Struct("=IHHII")
_FAMILY = struct.Struct(">BBH")
ATTRIBUTE = struct.Struct("=HH")


def message(kind: int, flags: int, sequence: int, body: bytes) -> bytes:
    return _HEADER.pack(16 + len(body), kind, flags | REQUEST, sequence, 0) + body


def family(number: int, resource: int = 0) -> bytes:
    """What every body begins with."""
    return _FAMILY.pack(number, 0, resource)


def batch(messages: Iterable[tuple[int, int, bytes]], first_sequence: int) -> tuple[bytes, int]:
    """Messages of nf_tables as (kind, flags, body), in one batch, and the sequence number of the last.

    That one the kernel acknowledges; of the others it speaks only if it refuses them.
    """
    listed = list(messages)
    out = [message(_BATCH_BEGIN, 0, first_sequence, family(0, NFTABLES))]
    sequence = first_sequence
    for n, (kind, flags, body) in enumerate(listed, 1):
        sequence += 1
        asks = ACK if n == len(listed) else 0
        out.append(message(NFTABLES << 8 | kind, flags | asks, sequence, body))
    out.append(message(_BATCH_END, 0, sequence + 1, family(0, NFTABLES)))
    return b"".join(out), sequence


def attribute(kind: int, payload: bytes) -> bytes:
    return ATTRIBUTE.pack(4 + len(payload), kind) + payload + bytes(-len(payload) % 4)


def nested(kind: int, payload: bytes) -> bytes:
    return ATTRIBUTE.pack(4 + len(payload), kind | NESTED) + payload


def text(kind: int, value: str) -> bytes:
    return attribute(kind, value.encode() + b"\0")


def number(kind: int, value: int) -> bytes:
    return ATTRIBUTE.pack(8, kind) + struct.pack(">i", value)


def attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + 4 <= len(data):
        length, kind = ATTRIBUTE.unpack_from(data, at)
        if length < 4:
            return
        yield kind & 0x3FFF, data[at + 4 : at + length]
        at += (length + 3) & ~3


def get_chain(table: str, name: str, sequence: int) -> bytes:
    """Asks for one chain: the answer is ENOENT, or there is no error."""
    body = family(INET) + text(_CHAIN_TABLE, table) + text(_CHAIN_NAME, name)
    return message(NFTABLES << 8 | _GET_CHAIN, ACK, sequence, body)


def list_elements(table: str, set_name: str, sequence: int) -> bytes:
    """Asks for all elements of a set."""
    body = family(INET) + text(_LIST_TABLE, table) + text(_LIST_SET, set_name)
    return message(NFTABLES << 8 | _GET_ELEMENTS, DUMP, sequence, body)


class Reply(NamedTuple):
    kind: int
    sequence: int
    error: int
    """errno of an NLMSG_ERROR, 0 otherwise."""
    interrupted: bool
    body: bytes


def replies(datagram: bytes) -> Iterator[Reply]:
    at = 0
    while at + 16 <= len(datagram):
        length, kind, flags, sequence, _ = _HEADER.unpack_from(datagram, at)
        body = datagram[at + 16 : at + length]
        refused = -struct.unpack_from("=i", body)[0] if kind == NLMSG_ERROR else 0
        yield Reply(kind, sequence, refused, bool(flags & _DUMP_INTERRUPTED), body)
        at += (length + 3) & ~3
