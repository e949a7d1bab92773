"""Elements of the policies' sets as nfnetlink bytes and back. Pure.

An interval is one element here and two in the kernel: its first key, and the key after its last, marked as an
end; one that reaches the last key there is has no end.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from functools import partial
from typing import NamedTuple

from sampan.proxy import items, nfnetlink
from sampan.proxy.fields import IP4, IP6, MARK, PORT, PROTO, Field, decode
from sampan.proxy.items import ITEM, KEY, VALUE, Item, Message, Write, key_of, value_of
from sampan.proxy.nfnetlink import Reply, attribute, attributes, nested, number
from sampan.proxy.policy import ruleset
from sampan.proxy.policy.ruleset import TABLE
from sampan.proxy.table import Change, Element, Fields, Table

_FLAGS, _EXPRESSION = 3, 7
_INTERVAL_END = 1
_COUNTER_DATA, _BYTES, _PACKETS = 2, 1, 2

_BARE_PORT = Field(2, struct.Struct(">H").pack, lambda b: int.from_bytes(b, "big"))


class Shape(NamedTuple):
    """Fields of a set's keys and values. An interval's key is (first, last)."""

    key: tuple[Field, ...]
    value: tuple[Field, ...] = ()
    interval: bool = False


def _of_family(suffix: str, address: Field) -> dict[str, Shape]:
    return {
        f"in{suffix}": Shape((address,), (MARK,)),
        f"eg{suffix}": Shape((address,), (MARK,)),
        f"id{suffix}": Shape((address,), (MARK,)),
        f"net{suffix}": Shape((address,), (MARK,), interval=True),
        f"self{suffix}": Shape((address, address)),
        f"node{suffix}": Shape((address,)),
        f"dropin{suffix}": Shape((address,)),
        f"dropeg{suffix}": Shape((address,)),
    }


SHAPES: dict[str, Shape] = {
    "peers": Shape((MARK, MARK)),
    "protos": Shape((MARK, MARK, PROTO)),
    "allow": Shape((MARK, MARK, PROTO, PORT)),
    "spans": Shape((MARK, MARK), (MARK,)),
    "ports": Shape((_BARE_PORT,), (MARK,), interval=True),
    "span": Shape((MARK, PROTO, MARK)),
    **_of_family("4", IP4),
    **_of_family("6", IP6),
}
"""Every set that a table of ours has elements in, in the order in which they are added."""
COUNTED = {name: shape for name, shape in SHAPES.items() if name.startswith("drop")}
LOST = {
    f"lost{way}{suffix}": Shape((address, address, PROTO, PORT))
    for way in ("in", "eg")
    for suffix, address in (("4", IP4), ("6", IP6))
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
    found = [item for reply in listed for item in items.listed(reply)]
    if shape.interval:
        return _intervals(set_name, shape, found)
    return {
        Element(set_name, decode(shape.key, key_of(item))): decode(shape.value, value_of(item))
        for item in found
    }


def counts(shape: Shape, listed: Sequence[Reply]) -> dict[Fields, Count]:
    """Key -> what was counted there, from all parts of a listing."""
    found = {}
    for reply in listed:
        for item in items.listed(reply):
            counter = dict(attributes(dict(attributes(item.get(_EXPRESSION, b""))).get(_COUNTER_DATA, b"")))
            packets, size = (int.from_bytes(counter.get(kind, b""), "big") for kind in (_PACKETS, _BYTES))
            found[decode(shape.key, key_of(item))] = Count(packets, size)
    return found


def _messages(change: Change) -> Iterator[Message]:
    yield from items.deletions(TABLE, items.by_set(change.delete), _ORDER, _key_writer)
    yield from items.additions(TABLE, items.by_set(change.add), _ORDER, _writer)


def _writer(name: str) -> Write:
    shape = SHAPES[name]
    return _interval_writer(shape.key[0], shape.value) if shape.interval else items.plain(*shape[:2])


def _key_writer(name: str) -> Write:
    shape = SHAPES[name]
    return _interval_writer(shape.key[0]) if shape.interval else items.plain(shape.key)


def _interval_writer(field: Field, value: Sequence[Field] = ()) -> Write:
    return partial(_interval, field, items.plain((field,), value))


def _interval(field: Field, write: Write, key: Fields, value: Fields) -> bytes:
    first, last = key
    after = int.from_bytes(field.encode(last), "big") + 1
    begin = write((first,), value)
    if after >= 1 << 8 * field.width:
        return begin
    end = nested(KEY, attribute(VALUE, after.to_bytes(field.width, "big")))
    return begin + nested(ITEM, end + number(_FLAGS, _INTERVAL_END))


def _intervals(set_name: str, shape: Shape, listed: Sequence[Item]) -> Table:
    """Puts firsts and ends together again. An end and the next first may be the same key."""
    field = shape.key[0]
    marks = sorted((key_of(item), not _is_end(item), item) for item in listed)
    found: Table = {}
    for n, (key, is_first, item) in enumerate(marks):
        if is_first:
            after = int.from_bytes(marks[n + 1][0], "big") if n + 1 < len(marks) else 1 << 8 * field.width
            last = field.decode((after - 1).to_bytes(field.width, "big"))
            found[Element(set_name, (field.decode(key), last))] = decode(shape.value, value_of(item))
    return found


def _is_end(item: Item) -> bool:
    return bool(int.from_bytes(item.get(_FLAGS, b""), "big") & _INTERVAL_END)
