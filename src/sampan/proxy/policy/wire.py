"""Elements of the policies' sets as nfnetlink bytes and back. Pure.

An interval is one element here and two in the kernel: its first key, and the key after its last, marked as an
end; one that reaches the last key there is has no end.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import groupby
from typing import Any, NamedTuple

from sampan.proxy import nfnetlink
from sampan.proxy.nfnetlink import (
    CREATE,
    EXCLUSIVE,
    INET,
    NFTABLES,
    Reply,
    attribute,
    attributes,
    family,
    nested,
    number,
    text,
)
from sampan.proxy.policy import ruleset
from sampan.proxy.policy.ruleset import TABLE, Message
from sampan.proxy.table import PROTOCOLS, Change, Element, Fields, Table

_GET_CHAIN = 4
_NEW_ELEMENTS, _GET_ELEMENTS, _DELETE_ELEMENTS = 12, 13, 14
_LIST_TABLE, _LIST_SET, _LIST_ELEMENTS = 1, 2, 3
_ITEM = 1
_KEY, _DATA, _FLAGS, _EXPRESSION = 1, 2, 3, 7
_VALUE = 1
_INTERVAL_END = 1
_COUNTER_DATA, _BYTES, _PACKETS = 2, 1, 2
_LIST_BYTES = 50_000


class Field(NamedTuple):
    """How one kind of field looks on the wire."""

    width: int
    encode: Callable[[Any], bytes]
    decode: Callable[[bytes], str | int]


_NAMES = {value: name for name, value in PROTOCOLS.items()}
_IP4 = Field(4, socket.inet_aton, socket.inet_ntoa)
_IP6 = Field(16, partial(socket.inet_pton, socket.AF_INET6), partial(socket.inet_ntop, socket.AF_INET6))
_PROTO = Field(4, lambda v: bytes((PROTOCOLS[v], 0, 0, 0)), lambda b: _NAMES.get(b[0], b[0]))
_PORT = Field(4, struct.Struct(">H2x").pack, lambda b: int.from_bytes(b[:2], "big"))
_MARK = Field(4, struct.Struct("=I").pack, lambda b: int(struct.unpack("=I", b)[0]))
_BARE_PORT = Field(2, struct.Struct(">H").pack, lambda b: int.from_bytes(b, "big"))


class Shape(NamedTuple):
    """Fields of a set's keys and values. An interval's key is (first, last)."""

    key: tuple[Field, ...]
    value: tuple[Field, ...] = ()
    interval: bool = False


def _of_family(suffix: str, address: Field) -> dict[str, Shape]:
    return {
        f"in{suffix}": Shape((address,), (_MARK,)),
        f"eg{suffix}": Shape((address,), (_MARK,)),
        f"id{suffix}": Shape((address,), (_MARK,)),
        f"net{suffix}": Shape((address,), (_MARK,), interval=True),
        f"self{suffix}": Shape((address, address)),
        f"node{suffix}": Shape((address,)),
        f"dropin{suffix}": Shape((address,)),
        f"dropeg{suffix}": Shape((address,)),
    }


SHAPES: dict[str, Shape] = {
    "peers": Shape((_MARK, _MARK)),
    "protos": Shape((_MARK, _MARK, _PROTO)),
    "allow": Shape((_MARK, _MARK, _PROTO, _PORT)),
    "spans": Shape((_MARK, _MARK), (_MARK,)),
    "ports": Shape((_BARE_PORT,), (_MARK,), interval=True),
    "span": Shape((_MARK, _PROTO, _MARK)),
    **_of_family("4", _IP4),
    **_of_family("6", _IP6),
}
"""Every set that a table of ours has elements in, in the order in which they are added."""
COUNTED = {name: shape for name, shape in SHAPES.items() if name.startswith("drop")}
LOST = {
    f"lost{way}{suffix}": Shape((address, address, _PROTO, _PORT))
    for way in ("in", "eg")
    for suffix, address in (("4", _IP4), ("6", _IP6))
}
"""What the kernel adds by itself."""
_ORDER = {name: rank for rank, name in enumerate(SHAPES)}


class Count(NamedTuple):
    """What an element has counted."""

    packets: int
    bytes: int


def transaction(change: Change, first_sequence: int) -> tuple[bytes, int]:
    """One atomic batch, and the sequence number of its last message."""
    return nfnetlink.batch(_messages(change), first_sequence)


def replacement(elements: Table, first_sequence: int) -> tuple[bytes, int]:
    """The static rules and these elements instead of whatever table there was, as one batch."""
    adds = _messages(Change(add=tuple(elements.items())))
    return nfnetlink.batch([*ruleset.messages(), *adds], first_sequence)


def elements(set_name: str, listed: Sequence[Reply]) -> Table:
    """All elements of one set, from all parts of its listing."""
    shape = SHAPES[set_name]
    items = [item for reply in listed for item in _items(reply)]
    if shape.interval:
        return _intervals(set_name, shape, items)
    return {
        Element(set_name, _decode(shape.key, _key(item))): _decode(shape.value, _data(item)) for item in items
    }


def counts(shape: Shape, listed: Sequence[Reply]) -> dict[Fields, Count]:
    """Key -> what was counted there, from all parts of a listing."""
    found = {}
    for reply in listed:
        for item in _items(reply):
            counter = dict(attributes(dict(attributes(item.get(_EXPRESSION, b""))).get(_COUNTER_DATA, b"")))
            packets, size = (int.from_bytes(counter.get(kind, b""), "big") for kind in (_PACKETS, _BYTES))
            found[_decode(shape.key, _key(item))] = Count(packets, size)
    return found


def _messages(change: Change) -> Iterator[Message]:
    yield from _lists(_DELETE_ELEMENTS, 0, reversed(_sorted(change.delete)))
    yield from _lists(_NEW_ELEMENTS, CREATE | EXCLUSIVE, _sorted(change.add))


def _sorted(changes: Iterable[tuple[Element, Fields]]) -> list[tuple[Element, Fields]]:
    return sorted(changes, key=lambda change: _ORDER[change[0].set])


def _lists(kind: int, flags: int, changes: Iterable[tuple[Element, Fields]]) -> Iterator[Message]:
    """Lists of one set's elements each, none longer than an attribute can be."""
    for name, group in groupby(changes, key=lambda change: change[0].set):
        head = family(INET) + text(_LIST_TABLE, TABLE) + text(_LIST_SET, name)
        shape = SHAPES[name]
        pending: list[bytes] = []
        size = 0
        for (_, key), value in group:
            for item in _encode_element(shape, key, value if kind == _NEW_ELEMENTS else ()):
                if size + len(item) > _LIST_BYTES:
                    yield kind, flags, head + nested(_LIST_ELEMENTS, b"".join(pending))
                    pending, size = [], 0
                pending.append(item)
                size += len(item)
        yield kind, flags, head + nested(_LIST_ELEMENTS, b"".join(pending))


def _encode_element(shape: Shape, key: Fields, value: Fields) -> Iterator[bytes]:
    data = b""
    if value:
        packed = b"".join(field.encode(part) for field, part in zip(shape.value, value, strict=True))
        data = nested(_DATA, attribute(_VALUE, packed))
    if not shape.interval:
        packed = b"".join([field.encode(part) for field, part in zip(shape.key, key, strict=True)])
        yield nested(_ITEM, nested(_KEY, attribute(_VALUE, packed)) + data)
        return
    field = shape.key[0]
    first, last = key
    yield nested(_ITEM, nested(_KEY, attribute(_VALUE, field.encode(first))) + data)
    after = int.from_bytes(field.encode(last), "big") + 1
    if after < 1 << 8 * field.width:
        end = nested(_KEY, attribute(_VALUE, after.to_bytes(field.width, "big")))
        yield nested(_ITEM, end + number(_FLAGS, _INTERVAL_END))


def _items(reply: Reply) -> Iterator[dict[int, bytes]]:
    if reply.kind == NFTABLES << 8 | _NEW_ELEMENTS:
        parts = dict(attributes(reply.body[4:]))
        for _, item in attributes(parts.get(_LIST_ELEMENTS, b"")):
            yield dict(attributes(item))


def _key(item: dict[int, bytes]) -> bytes:
    return dict(attributes(item[_KEY]))[_VALUE]


def _data(item: dict[int, bytes]) -> bytes:
    return dict(attributes(item[_DATA]))[_VALUE] if _DATA in item else b""


def _decode(fields: Sequence[Field], data: bytes) -> Fields:
    values = []
    at = 0
    for field in fields:
        values.append(field.decode(data[at : at + field.width]))
        at += field.width
    return tuple(values)


def _intervals(set_name: str, shape: Shape, items: list[dict[int, bytes]]) -> Table:
    """Puts firsts and ends together again. An end and the next first may be the same key."""
    field = shape.key[0]
    marks = sorted((_key(item), not _is_end(item), item) for item in items)
    found: Table = {}
    for n, (key, is_first, item) in enumerate(marks):
        if is_first:
            after = int.from_bytes(marks[n + 1][0], "big") if n + 1 < len(marks) else 1 << 8 * field.width
            last = field.decode((after - 1).to_bytes(field.width, "big"))
            found[Element(set_name, (field.decode(key), last))] = _decode(shape.value, _data(item))
    return found


def _is_end(item: dict[int, bytes]) -> bool:
    return bool(int.from_bytes(item.get(_FLAGS, b""), "big") & _INTERVAL_END)
