"""Table changes as nfnetlink bytes and back (linux/netfilter/nf_tables.h). Pure.

Fields of a key or value stand side by side, each padded to four bytes: addresses and ports big-endian, marks
in the machine's order. Attribute lengths are 16 bit, so elements travel in lists of at most `_LIST_BYTES`,
many lists to a transaction; the kernel takes a transaction whole or not at all.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import groupby
from typing import Any, NamedTuple

from sampan.proxy.ruleset import TABLE
from sampan.proxy.table import PROTOCOLS, Change, Element, Fields, Table

NETLINK_NETFILTER = 12
NLMSG_ERROR, NLMSG_DONE = 2, 3
_REQUEST, _ACK, _DUMP_INTERRUPTED, _DUMP = 0x01, 0x04, 0x10, 0x300
_EXCLUSIVE, _CREATE, _APPEND = 0x200, 0x400, 0x800
_BATCH_BEGIN, _BATCH_END = 0x10, 0x11
_NFTABLES = 10
_NEW_CHAIN, _GET_CHAIN, _NEW_RULE = 3, 4, 6
_NEW_ELEMENTS, _GET_ELEMENTS, _DELETE_ELEMENTS = 12, 13, 14
_INET = 1
_NESTED = 0x8000

_LIST_TABLE, _LIST_SET, _LIST_ELEMENTS = 1, 2, 3
_ITEM = 1
_KEY, _DATA = 1, 2
_VALUE, _VERDICT = 1, 2
_VERDICT_CODE, _VERDICT_CHAIN = 1, 2
_GOTO = -4
_LIST_BYTES = 50_000

_HEADER = struct.Struct("=IHHII")
_FAMILY = struct.Struct(">BBH")
_ATTRIBUTE = struct.Struct("=HH")
_PORT = struct.Struct(">H2x")
_MARK = struct.Struct("=I")

PICK_CHAIN = "pick"
"""Where the chain of every count goes on, once it has put a slot number into the packet's mark."""


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


class Shape(NamedTuple):
    """Fields of a set's keys and values."""

    key: tuple[Field, ...]
    value: tuple[Field, ...]


def _of_family(suffix: str, address: Field) -> dict[str, Shape]:
    return {
        f"fe{suffix}": Shape((address, _PROTO, _PORT_FIELD), (_MARK_FIELD,)),
        f"np{suffix}": Shape((_PROTO, _PORT_FIELD), (_MARK_FIELD,)),
        f"hp{suffix}": Shape((address, _PROTO, _PORT_FIELD), (_MARK_FIELD,)),
        f"ep{suffix}": Shape((_MARK_FIELD, _MARK_FIELD), (address, _PORT_FIELD)),
        f"hair{suffix}": Shape((address, address), ()),
    }


SHAPES: Mapping[str, Shape] = {
    "class": Shape((_MARK_FIELD,), ()),
    "svc": Shape((_MARK_FIELD,), (_MARK_FIELD,)),
    **_of_family("4", _IP4),
    **_of_family("6", _IP6),
}
"""`class` holds verdicts, which are no plain data: its values are written and read apart."""

_ADD_ORDER = {
    name: rank
    for rank, name in enumerate(
        ("class", "ep4", "ep6", "svc", "hair4", "hair6", "fe4", "fe6", "np4", "np6", "hp4", "hp6")
    )
}


def transaction(change: Change, first_sequence: int) -> tuple[bytes, int]:
    """One atomic batch, and the sequence number of its last message: the one the kernel acknowledges."""
    messages = [
        *_element_messages(_DELETE_ELEMENTS, 0, reversed(_sorted(change.delete))),
        *_chains(change.add),
        *_element_messages(_NEW_ELEMENTS, _CREATE | _EXCLUSIVE, _sorted(change.add)),
    ]
    out = [_message(_BATCH_BEGIN, 0, first_sequence, _FAMILY.pack(0, 0, _NFTABLES))]
    sequence = first_sequence
    last = len(messages) - 1
    for n, (kind, flags, body) in enumerate(messages):
        sequence += 1
        asks = _ACK if n == last else 0
        out.append(_message(_NFTABLES << 8 | kind, flags | asks, sequence, body))
    out.append(_message(_BATCH_END, 0, sequence + 1, _FAMILY.pack(0, 0, _NFTABLES)))
    return b"".join(out), sequence


def list_elements(set_name: str, sequence: int) -> bytes:
    """Asks for all elements of a set."""
    body = _FAMILY.pack(_INET, 0, 0) + _text(_LIST_TABLE, TABLE) + _text(_LIST_SET, set_name)
    return _message(_NFTABLES << 8 | _GET_ELEMENTS, _DUMP, sequence, body)


def get_chain(name: str, sequence: int) -> bytes:
    """Asks for one chain: the answer is ENOENT, or there is no error."""
    body = _FAMILY.pack(_INET, 0, 0) + _text(1, TABLE) + _text(3, name)
    return _message(_NFTABLES << 8 | _GET_CHAIN, _ACK, sequence, body)


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
        number = -struct.unpack_from("=i", body)[0] if kind == NLMSG_ERROR else 0
        yield Reply(kind, sequence, number, bool(flags & _DUMP_INTERRUPTED), body)
        at += (length + 3) & ~3


def elements(reply: Reply) -> Table:
    """The elements in one part of a listing; empty for any other message."""
    if reply.kind != _NFTABLES << 8 | _NEW_ELEMENTS:
        return {}
    parts = dict(_attributes(reply.body[4:]))
    name = parts[_LIST_SET].rstrip(b"\0").decode()
    found: Table = {}
    for _, item in _attributes(parts.get(_LIST_ELEMENTS, b"")):
        fields = dict(_attributes(item))
        key = _decode(SHAPES[name].key, dict(_attributes(fields[_KEY]))[_VALUE])
        found[Element(name, key)] = _decode_value(name, fields.get(_DATA, b""))
    return found


def _decode_value(name: str, data: bytes) -> Fields:
    if not data:
        return ()
    parts = dict(_attributes(data))
    if name == "class":
        verdict = dict(_attributes(parts[_VERDICT]))
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
        head = _FAMILY.pack(_INET, 0, 0) + _text(_LIST_TABLE, TABLE) + _text(_LIST_SET, name)
        shape = SHAPES[name]
        adds = kind == _NEW_ELEMENTS
        before_key, before_value = _heads(shape, with_data=adds)
        encode_key, encode_value = _encoder(shape.key), _encoder(shape.value)
        items: list[bytes] = []
        size = 0
        for (_, key), value in group:
            if adds and name == "class":
                item = _verdict_element(key, value)
            else:
                item = before_key + encode_key(key)
                if before_value:
                    item += before_value + encode_value(value)
            if size + len(item) > _LIST_BYTES:
                yield kind, flags, head + _nested(_LIST_ELEMENTS, b"".join(items))
                items, size = [], 0
            items.append(item)
            size += len(item)
        yield kind, flags, head + _nested(_LIST_ELEMENTS, b"".join(items))


def _verdict_element(key: Fields, value: Fields) -> bytes:
    packed = _nested(_KEY, _attribute(_VALUE, _encoder(SHAPES["class"].key)(key)))
    return _nested(_ITEM, packed + _nested(_DATA, _goto(str(value[0]))))


def _heads(shape: Shape, *, with_data: bool) -> tuple[bytes, bytes]:
    """The attribute headers before an element's key and before its value: the same for a whole set."""
    value_bytes = sum(field.width for field in shape.value) if with_data else 0
    before_value = _nested(_DATA, _attribute(_VALUE, bytes(value_bytes)))[:8] if value_bytes else b""
    key = _nested(_KEY, _attribute(_VALUE, bytes(sum(field.width for field in shape.key))))
    item = _ATTRIBUTE.pack(4 + len(key) + len(before_value) + value_bytes, _ITEM | _NESTED)
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


def _chains(added: Iterable[tuple[Element, Fields]]) -> Iterator[tuple[int, int, bytes]]:
    """A chain for each new class: choose a slot at random, go on to `pick`."""
    for (name, key), value in added:
        if name != "class":
            continue
        head = _FAMILY.pack(_INET, 0, 0) + _text(1, TABLE)
        chain = str(value[0])
        yield _NEW_CHAIN, _CREATE, head + _text(3, chain)
        body = head + _text(2, chain) + _nested(4, random_slot(int(key[0]), PICK_CHAIN))
        yield _NEW_RULE, _CREATE | _APPEND, body


def random_slot(count: int, chain: str) -> bytes:
    """Expressions of `meta mark set numgen random mod COUNT goto CHAIN`."""
    register, random, mark = 8, 1, 3
    return b"".join(
        (
            _expression("numgen", {1: register, 2: count, 3: random}),
            _expression("meta", {2: mark, 3: register}),
            _nested(_ITEM, _text(1, "immediate") + _nested(2, _number(1, 0) + _nested(2, _goto(chain)))),
        )
    )


def _expression(name: str, numbers: Mapping[int, int]) -> bytes:
    data = b"".join(_number(kind, value) for kind, value in numbers.items())
    return _nested(_ITEM, _text(1, name) + _nested(2, data))


def _goto(chain: str) -> bytes:
    return _nested(_VERDICT, _number(_VERDICT_CODE, _GOTO) + _text(_VERDICT_CHAIN, chain))


def _sorted(changes: Sequence[tuple[Element, Fields]]) -> list[tuple[Element, Fields]]:
    return sorted(changes, key=lambda change: _ADD_ORDER[change[0].set])


def _message(kind: int, flags: int, sequence: int, body: bytes) -> bytes:
    return _HEADER.pack(16 + len(body), kind, flags | _REQUEST, sequence, 0) + body


def _attribute(kind: int, payload: bytes) -> bytes:
    return _ATTRIBUTE.pack(4 + len(payload), kind) + payload + bytes(-len(payload) % 4)


def _nested(kind: int, payload: bytes) -> bytes:
    return _ATTRIBUTE.pack(4 + len(payload), kind | _NESTED) + payload


def _text(kind: int, value: str) -> bytes:
    return _attribute(kind, value.encode() + b"\0")


def _number(kind: int, value: int) -> bytes:
    return _ATTRIBUTE.pack(8, kind) + struct.pack(">i", value)


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + 4 <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, at)
        if length < 4:
            return
        yield kind & 0x3FFF, data[at + 4 : at + length]
        at += (length + 3) & ~3
