"""Table changes as nfnetlink bytes and back (linux/netfilter/nf_tables.h). Pure.

Fields of a key or value stand side by side, each padded to four bytes: addresses and ports big-endian, marks
in the machine's order. Attribute lengths are 16 bit, so elements travel in lists of at most `_LIST_BYTES`,
many lists to a transaction; the kernel takes a transaction whole or not at all.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache, partial
from ipaddress import ip_address, ip_network, summarize_address_range
from itertools import groupby
from typing import Any, NamedTuple

from sampan.proxy import chains, nfnetlink
from sampan.proxy.affinity import Client
from sampan.proxy.nfnetlink import (
    ATTRIBUTE,
    CREATE,
    EXCLUSIVE,
    INET,
    NESTED,
    NFTABLES,
    Reply,
    attribute,
    attributes,
    family,
    nested,
    text,
)
from sampan.proxy.nfnetlink import NETLINK_NETFILTER as NETLINK_NETFILTER
from sampan.proxy.nfnetlink import NLMSG_ERROR as NLMSG_ERROR
from sampan.proxy.nfnetlink import replies as replies
from sampan.proxy.table import MADE_ONCE, PROTOCOLS, TABLE, Change, Element, Fields, Table

_GET_CHAIN = 4
_NEW_ELEMENTS, _GET_ELEMENTS, _DELETE_ELEMENTS = 12, 13, 14

_LIST_TABLE, _LIST_SET, _LIST_ELEMENTS = 1, 2, 3
_ITEM = 1
_KEY, _DATA, _KEY_END = 1, 2, 10
_TIMEOUT, _EXPIRATION = 4, 5
_VALUE, _VERDICT = 1, 2
_VERDICT_CHAIN = 2
_LIST_BYTES = 50_000

_PORT = struct.Struct(">H2x")
_MARK = struct.Struct("=I")
_SORTED_MARK = struct.Struct(">I")


class Field(NamedTuple):
    """How one kind of field looks on the wire."""

    width: int
    encode: Callable[[Any], bytes]
    decode: Callable[[bytes], str | int]


_PROTOCOL_BYTES: Mapping[str | int, bytes] = {
    name: bytes((number, 0, 0, 0)) for name, number in PROTOCOLS.items()
}
_PROTOCOL_NAMES = {number: name for name, number in PROTOCOLS.items()}

_IP4 = Field(4, socket.inet_aton, socket.inet_ntoa)
_IP6 = Field(
    16,
    partial(socket.inet_pton, socket.AF_INET6),
    partial(socket.inet_ntop, socket.AF_INET6),
)
_PROTO = Field(4, _PROTOCOL_BYTES.__getitem__, lambda b: _PROTOCOL_NAMES.get(b[0], b[0]))
_PORT_FIELD = Field(4, _PORT.pack, lambda b: int(_PORT.unpack(b)[0]))
_MARK_FIELD = Field(4, _MARK.pack, lambda b: int(_MARK.unpack(b)[0]))
_SORTED_MARK_FIELD = Field(4, _SORTED_MARK.pack, lambda b: int(_SORTED_MARK.unpack(b)[0]))
"""A mark in a set of intervals: the kernel compares them as bytes."""


class Shape(NamedTuple):
    """Fields of a set's keys and values; of a set of networks, also those of a key's end."""

    key: tuple[Field, ...]
    value: tuple[Field, ...]
    end: tuple[Field, ...] = ()


@lru_cache(maxsize=1 << 10)
def _bounds(network: str) -> tuple[bytes, bytes]:
    parsed = ip_network(network)
    return parsed.network_address.packed, parsed.broadcast_address.packed


def _bound(address: Field, which: int) -> Field:
    return Field(address.width, lambda network: _bounds(network)[which], address.decode)


def _of_family(suffix: str, address: Field) -> dict[str, Shape]:
    return {
        f"fe{suffix}": Shape((address, _PROTO, _PORT_FIELD), (_MARK_FIELD,)),
        f"np{suffix}": Shape((_PROTO, _PORT_FIELD), (_MARK_FIELD,)),
        f"hp{suffix}": Shape((address, _PROTO, _PORT_FIELD), (_MARK_FIELD,)),
        f"ep{suffix}": Shape((_MARK_FIELD, _MARK_FIELD), (address, _PORT_FIELD)),
        f"hair{suffix}": Shape((address, address), ()),
        f"lbsrc{suffix}": Shape(
            (_SORTED_MARK_FIELD, _bound(address, 0)), (), (_SORTED_MARK_FIELD, _bound(address, 1))
        ),
    }


SHAPES: Mapping[str, Shape] = {
    "class": Shape((_MARK_FIELD,), ()),
    "draw": Shape((_MARK_FIELD,), ()),
    "svc": Shape((_MARK_FIELD,), (_MARK_FIELD,)),
    "cnt": Shape((_MARK_FIELD,), (_MARK_FIELD,)),
    "pick": Shape((_MARK_FIELD, _MARK_FIELD), (_MARK_FIELD,)),
    "live": Shape((_MARK_FIELD, _MARK_FIELD), ()),
    **_of_family("4", _IP4),
    **_of_family("6", _IP6),
}
"""`class` and `draw` hold verdicts, which are no plain data: their values are written and read apart."""

_CLIENT_KEY: Mapping[str, tuple[Field, ...]] = {
    "aff4": (_MARK_FIELD, _IP4),
    "aff6": (_MARK_FIELD, _MARK_FIELD),
}

_ADD_ORDER = {
    name: rank
    for rank, name in enumerate(
        (
            *("class", "draw", "ep4", "ep6", "live", "pick", "cnt", "svc", "hair4", "hair6"),
            *("lbsrc4", "lbsrc6", "fe4", "fe6", "np4", "np6", "hp4", "hp6"),
        )
    )
}


def transaction(change: Change, first_sequence: int, families: Sequence[int] = (4, 6)) -> tuple[bytes, int]:
    """One atomic batch, and the sequence number of its last message: the one the kernel acknowledges."""
    messages = [
        *_element_messages(_DELETE_ELEMENTS, 0, reversed(_sorted(change.delete))),
        *_chains(change.add, families),
        *_element_messages(_NEW_ELEMENTS, CREATE | EXCLUSIVE, _sorted(change.add)),
    ]
    return nfnetlink.batch(messages, first_sequence)


def elements(reply: Reply) -> Table:
    """The elements in one part of a listing; empty for any other message."""
    if reply.kind != NFTABLES << 8 | _NEW_ELEMENTS:
        return {}
    parts = dict(attributes(reply.body[4:]))
    name = parts[_LIST_SET].rstrip(b"\0").decode()
    found: Table = {}
    for _, item in attributes(parts.get(_LIST_ELEMENTS, b"")):
        fields = dict(attributes(item))
        shape = SHAPES[name]
        key = _decode(shape.key, dict(attributes(fields[_KEY]))[_VALUE])
        if shape.end:
            key = _as_network(key, _decode(shape.end, dict(attributes(fields[_KEY_END]))[_VALUE]))
        found[Element(name, key)] = _decode_value(name, fields.get(_DATA, b""))
    return found


def clients(reply: Reply) -> Iterator[Client]:
    """The remembered clients in one part of a listing."""
    if reply.kind != NFTABLES << 8 | _NEW_ELEMENTS:
        return
    parts = dict(attributes(reply.body[4:]))
    name = parts[_LIST_SET].rstrip(b"\0").decode()
    for _, item in attributes(parts.get(_LIST_ELEMENTS, b"")):
        fields = dict(attributes(item))
        key = _decode(_CLIENT_KEY[name], dict(attributes(fields[_KEY]))[_VALUE])
        (seat,) = _decode((_MARK_FIELD,), dict(attributes(fields[_DATA]))[_VALUE])
        timeout, left = (int.from_bytes(fields[part], "big") for part in (_TIMEOUT, _EXPIRATION))
        yield Client(name, key, int(seat), timeout, left)


def _as_network(first: Fields, last: Fields) -> Fields:
    lower, upper = ip_address(first[-1]), ip_address(last[-1])
    return (*first[:-1], str(next(iter(summarize_address_range(lower, upper)))))


def _decode_value(name: str, data: bytes) -> Fields:
    if not data:
        return ()
    parts = dict(attributes(data))
    if name in MADE_ONCE:
        verdict = dict(attributes(parts[_VERDICT]))
        return (verdict[_VERDICT_CHAIN].rstrip(b"\0").decode(),)
    return _decode(SHAPES[name].value, parts[_VALUE])


def _decode(fields: Sequence[Field], data: bytes) -> Fields:
    values = []
    at = 0
    for field in fields:
        values.append(field.decode(data[at : at + field.width]))
        at += field.width
    return tuple(values)


def _element_messages(
    kind: int, flags: int, changes: Iterable[tuple[Element, Fields]]
) -> Iterator[tuple[int, int, bytes]]:
    """Lists of one set's elements each, none longer than an attribute can be."""
    for name, group in groupby(changes, key=lambda change: change[0].set):
        head = family(INET) + text(_LIST_TABLE, TABLE) + text(_LIST_SET, name)
        shape = SHAPES[name]
        adds = kind == _NEW_ELEMENTS
        before_key, before_value = _heads(shape, with_data=adds)
        encode_key, encode_value = _encoder(shape.key), _encoder(shape.value)
        items: list[bytes] = []
        size = 0
        for (_, key), value in group:
            if adds and name in MADE_ONCE:
                item = _verdict_element(name, key, value)
            elif shape.end:
                item = _network_element(shape, key)
            else:
                item = before_key + encode_key(key)
                if before_value:
                    item += before_value + encode_value(value)
            if size + len(item) > _LIST_BYTES:
                yield kind, flags, head + nested(_LIST_ELEMENTS, b"".join(items))
                items, size = [], 0
            items.append(item)
            size += len(item)
        yield kind, flags, head + nested(_LIST_ELEMENTS, b"".join(items))


def _verdict_element(name: str, key: Fields, value: Fields) -> bytes:
    packed = nested(_KEY, attribute(_VALUE, _encoder(SHAPES[name].key)(key)))
    verdict = chains.leap(str(value[0]), chains.JUMP if name == "draw" else chains.GOTO)
    return nested(_ITEM, packed + nested(_DATA, verdict))


def _network_element(shape: Shape, key: Fields) -> bytes:
    first = nested(_KEY, attribute(_VALUE, _encoder(shape.key)(key)))
    return nested(_ITEM, first + nested(_KEY_END, attribute(_VALUE, _encoder(shape.end)(key))))


def _heads(shape: Shape, *, with_data: bool) -> tuple[bytes, bytes]:
    """The attribute headers before an element's key and before its value: the same for a whole set."""
    value_bytes = sum(field.width for field in shape.value) if with_data else 0
    before_value = nested(_DATA, attribute(_VALUE, bytes(value_bytes)))[:8] if value_bytes else b""
    key = nested(_KEY, attribute(_VALUE, bytes(sum(field.width for field in shape.key))))
    item = ATTRIBUTE.pack(4 + len(key) + len(before_value) + value_bytes, _ITEM | NESTED)
    return item + key[:8], before_value


def _encoder(fields: Sequence[Field]) -> Callable[[Fields], bytes]:
    """What makes bytes of a key or value. Unrolled: thousands of elements go through it at a time."""
    match [field.encode for field in fields]:
        case []:
            return lambda values: b""
        case [first]:
            return lambda values: first(values[0])
        case [first, second]:
            return lambda values: first(values[0]) + second(values[1])
        case [first, second, third]:
            return lambda values: first(values[0]) + second(values[1]) + third(values[2])
    raise ValueError(f"{len(fields)} fields")


def _chains(
    added: Iterable[tuple[Element, Fields]], families: Sequence[int]
) -> Iterator[tuple[int, int, bytes]]:
    """A chain for each new class and count."""
    head = family(INET) + text(1, TABLE)
    for element, value in added:
        if element.set in MADE_ONCE:
            for kind, flags, body in chains.made(element, str(value[0]), families):
                yield kind, flags, head + body


def _sorted(changes: Sequence[tuple[Element, Fields]]) -> list[tuple[Element, Fields]]:
    return sorted(changes, key=lambda change: _ADD_ORDER[change[0].set])
