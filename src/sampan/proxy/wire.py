"""Changes of the Services' table as nfnetlink bytes and back. Pure."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache, partial
from ipaddress import ip_address, ip_network, summarize_address_range
from typing import NamedTuple

from sampan.proxy import chains, items, nfnetlink
from sampan.proxy.affinity import Client
from sampan.proxy.fields import IP4, IP6, MARK, PORT, PROTO, Field, decode, encoder
from sampan.proxy.items import DATA, ITEM, KEY, VALUE, BySet, Item, Message, Write
from sampan.proxy.nfnetlink import INET, Reply, attribute, attributes, family, nested, text
from sampan.proxy.table import MADE_ONCE, TABLE, Change, Element, Fields, Table

_KEY_END = 10
_TIMEOUT, _EXPIRATION = 4, 5
_VERDICT, _VERDICT_CHAIN = 2, 2

_SORTED_MARK = struct.Struct(">I")
SORTED_MARK = Field(4, _SORTED_MARK.pack, lambda b: int(_SORTED_MARK.unpack(b)[0]))
"""A mark in a set of intervals: the kernel compares them as bytes."""


class Shape(NamedTuple):
    """Fields of a set's keys and values; of a set of networks, also those of a key's end."""

    key: tuple[Field, ...]
    value: tuple[Field, ...] = ()
    end: tuple[Field, ...] = ()


@lru_cache(maxsize=1 << 10)
def _bounds(network: str) -> tuple[bytes, bytes]:
    parsed = ip_network(network)
    return parsed.network_address.packed, parsed.broadcast_address.packed


def _bound(address: Field, which: int) -> Field:
    return Field(address.width, lambda network: _bounds(network)[which], address.decode)


def _of_family(suffix: str, address: Field) -> dict[str, Shape]:
    return {
        f"fe{suffix}": Shape((address, PROTO, PORT), (MARK,)),
        f"np{suffix}": Shape((PROTO, PORT), (MARK,)),
        f"hp{suffix}": Shape((address, PROTO, PORT), (MARK,)),
        f"ep{suffix}": Shape((MARK, MARK), (address, PORT)),
        f"hair{suffix}": Shape((address, address)),
        f"lbsrc{suffix}": Shape((SORTED_MARK, _bound(address, 0)), (), (SORTED_MARK, _bound(address, 1))),
    }


SHAPES: Mapping[str, Shape] = {
    "class": Shape((MARK,)),
    "draw": Shape((MARK,)),
    "svc": Shape((MARK,), (MARK,)),
    "cnt": Shape((MARK,), (MARK,)),
    "pick": Shape((MARK, MARK), (MARK,)),
    "live": Shape((MARK, MARK)),
    **_of_family("4", IP4),
    **_of_family("6", IP6),
}
"""`class` and `draw` hold verdicts, which are no plain data: their values are written and read apart."""

_CLIENT_KEY: Mapping[str, tuple[Field, ...]] = {"aff4": (MARK, IP4), "aff6": (MARK, MARK)}

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
    added = items.by_set(change.add)
    messages = [
        *items.deletions(TABLE, items.by_set(change.delete), _ADD_ORDER, _key_writer),
        *_chains(added, families),
        *items.additions(TABLE, added, _ADD_ORDER, _writer),
    ]
    return nfnetlink.batch(messages, first_sequence)


def elements(reply: Reply) -> Table:
    """The elements in one part of a listing; empty for any other message."""
    name = items.set_name(reply)
    found: Table = {}
    for item in items.listed(reply):
        shape = SHAPES[name]
        key = decode(shape.key, items.key_of(item))
        if shape.end:
            key = _as_network(key, decode(shape.end, dict(attributes(item[_KEY_END]))[VALUE]))
        found[Element(name, key)] = _value(name, item)
    return found


def clients(reply: Reply) -> Iterator[Client]:
    """The remembered clients in one part of a listing."""
    name = items.set_name(reply)
    for item in items.listed(reply):
        key = decode(_CLIENT_KEY[name], items.key_of(item))
        (seat,) = decode((MARK,), items.value_of(item))
        timeout, left = (int.from_bytes(item[part], "big") for part in (_TIMEOUT, _EXPIRATION))
        yield Client(name, key, int(seat), timeout, left)


def _as_network(first: Fields, last: Fields) -> Fields:
    lower, upper = ip_address(first[-1]), ip_address(last[-1])
    return (*first[:-1], str(next(iter(summarize_address_range(lower, upper)))))


def _value(name: str, item: Item) -> Fields:
    if DATA in item and name in MADE_ONCE:
        verdict = dict(attributes(dict(attributes(item[DATA]))[_VERDICT]))
        return (verdict[_VERDICT_CHAIN].rstrip(b"\0").decode(),)
    return decode(SHAPES[name].value, items.value_of(item))


def _writer(name: str) -> Write:
    if name in MADE_ONCE:
        return partial(_verdict_item, chains.JUMP if name == "draw" else chains.GOTO)
    shape = SHAPES[name]
    return _key_writer(name) if shape.end else items.plain(shape.key, shape.value)


def _key_writer(name: str) -> Write:
    shape = SHAPES[name]
    return partial(_network_item, shape) if shape.end else items.plain(shape.key)


def _verdict_item(code: int, key: Fields, value: Fields) -> bytes:
    packed = nested(KEY, attribute(VALUE, MARK.encode(key[0])))
    return nested(ITEM, packed + nested(DATA, chains.leap(str(value[0]), code)))


def _network_item(shape: Shape, key: Fields, value: Fields) -> bytes:
    first = nested(KEY, attribute(VALUE, encoder(shape.key)(key)))
    return nested(ITEM, first + nested(_KEY_END, attribute(VALUE, encoder(shape.end)(key))))


def _chains(added: BySet, families: Sequence[int]) -> Iterator[Message]:
    """A chain for each new class and count."""
    head = family(INET) + text(1, TABLE)
    for name in sorted(MADE_ONCE & added.keys()):
        for key, value in added[name]:
            for kind, flags, body in chains.made(Element(name, key), str(value[0]), families):
                yield kind, flags, head + body
