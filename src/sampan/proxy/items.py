"""Elements of sets in messages of nf_tables: items, each with a key and perhaps data
(linux/netfilter/nf_tables.h). Pure.

Attribute lengths are 16 bit, so items travel in lists of at most `_LIST_BYTES`, many lists to a transaction;
the kernel takes a transaction whole or not at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TypeAlias

from sampan.proxy.fields import Field, encoder, width
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
from sampan.proxy.table import Element, Fields

NEW_ELEMENTS, DELETE_ELEMENTS = 12, 14
ITEM, KEY, DATA, VALUE = 1, 1, 2, 1
_LIST_TABLE, _LIST_SET, _LIST_ITEMS = 1, 2, 3
_LIST_BYTES = 50_000

Message: TypeAlias = tuple[int, int, bytes]
"""Kind, flags, body."""
Write: TypeAlias = Callable[[Fields, Fields], bytes]
"""(key, value) -> the item, or the items, of one element."""
BySet: TypeAlias = dict[str, list[tuple[Fields, Fields]]]
"""Name of a set -> keys and values."""
Item: TypeAlias = dict[int, bytes]
"""Attributes by kind."""


def by_set(elements: Iterable[tuple[Element, Fields]]) -> BySet:
    found: BySet = {}
    for (name, key), value in elements:
        if name in found:
            found[name].append((key, value))
        else:
            found[name] = [(key, value)]
    return found


def additions(
    table: str, by_set: BySet, ranks: Mapping[str, int], writer: Callable[[str], Write]
) -> Iterator[Message]:
    """Sets come in the order of `ranks`; `writer` tells how elements of a set are written."""
    for name in sorted(by_set, key=ranks.__getitem__):
        yield from _lists(NEW_ELEMENTS, CREATE | EXCLUSIVE, table, name, writer(name), by_set[name])


def deletions(
    table: str, by_set: BySet, ranks: Mapping[str, int], writer: Callable[[str], Write]
) -> Iterator[Message]:
    """What was added last goes first."""
    for name in sorted(by_set, key=ranks.__getitem__, reverse=True):
        yield from _lists(DELETE_ELEMENTS, 0, table, name, writer(name), reversed(by_set[name]))


def plain(key: Sequence[Field], value: Sequence[Field] = ()) -> Write:
    """Writes a key and its value. The headers before them are the same for a whole set."""
    value_bytes = width(value)
    encode_key, encode_value = encoder(key), encoder(value)
    whole_key = nested(KEY, attribute(VALUE, bytes(width(key))))
    after_key = bytes(-width(key) % 4)
    if value:
        after_key += nested(DATA, attribute(VALUE, bytes(value_bytes)))[:8]
    size = 12 + width(key) + len(after_key) + value_bytes
    before_key = ATTRIBUTE.pack(size, ITEM | NESTED) + whole_key[:8]
    if not value:
        return lambda key, value: before_key + encode_key(key) + after_key
    return lambda key, value: before_key + encode_key(key) + after_key + encode_value(value)


def set_name(reply: Reply) -> str:
    """The set that a message with elements speaks of; "" for any other message."""
    if reply.kind != NFTABLES << 8 | NEW_ELEMENTS:
        return ""
    return dict(attributes(reply.body[4:]))[_LIST_SET].rstrip(b"\0").decode()


def listed(reply: Reply) -> Iterator[Item]:
    """The elements in one part of a listing; none in any other message."""
    if reply.kind == NFTABLES << 8 | NEW_ELEMENTS:
        for _, item in attributes(dict(attributes(reply.body[4:])).get(_LIST_ITEMS, b"")):
            yield dict(attributes(item))


def key_of(item: Item) -> bytes:
    return dict(attributes(item[KEY]))[VALUE]


def value_of(item: Item) -> bytes:
    """Empty where there is none."""
    return dict(attributes(item[DATA]))[VALUE] if DATA in item else b""


def _lists(
    kind: int, flags: int, table: str, name: str, write: Write, pairs: Iterable[tuple[Fields, Fields]]
) -> Iterator[Message]:
    """Lists of one set's elements, none longer than an attribute can be."""
    head = family(INET) + text(_LIST_TABLE, table) + text(_LIST_SET, name)
    gathered: list[bytes] = []
    size = 0
    for key, value in pairs:
        item = write(key, value)
        if size + len(item) > _LIST_BYTES:
            yield kind, flags, head + nested(_LIST_ITEMS, b"".join(gathered))
            gathered, size = [], 0
        gathered.append(item)
        size += len(item)
    yield kind, flags, head + nested(_LIST_ITEMS, b"".join(gathered))
