"""Which sets come when, how lists are split, and items read back."""

from __future__ import annotations

import struct

from sampan.proxy import items, nfnetlink
from sampan.proxy.fields import MARK, Field
from sampan.proxy.items import Write
from sampan.proxy.table import Element, Fields

RANKS = {"first": 0, "second": 1}
BARE_PORT = Field(2, struct.Struct(">H").pack, lambda b: int.from_bytes(b, "big"))
MANY: list[tuple[Element, Fields]] = [
    (Element("second", (1,)), ()),
    (Element("first", (2,)), ()),
    (Element("second", (3,)), ()),
]


def writer(name: str) -> Write:
    return items.plain((MARK,))


def read(messages: list[items.Message]) -> list[tuple[int, str, list[int]]]:
    """(kind, set, keys) of each message."""
    batch, _ = nfnetlink.batch(messages, 1)
    found = []
    for reply in list(nfnetlink.replies(batch))[1:-1]:
        as_listed = reply._replace(kind=nfnetlink.NFTABLES << 8 | items.NEW_ELEMENTS)
        keys = [int(MARK.decode(items.key_of(item))) for item in items.listed(as_listed)]
        found.append((reply.kind & 0xFF, items.set_name(as_listed), keys))
    return found


def test_sets_are_added_in_order_and_deleted_in_reverse() -> None:
    by_set = items.by_set(MANY)
    assert read([*items.additions("t", by_set, RANKS, writer)]) == [
        (12, "first", [2]),
        (12, "second", [1, 3]),
    ]
    assert read([*items.deletions("t", by_set, RANKS, writer)]) == [
        (14, "second", [3, 1]),
        (14, "first", [2]),
    ]


def test_long_lists_are_split_and_none_is_empty() -> None:
    by_set = items.by_set((Element("first", (n,)), ()) for n in range(10_000))
    messages = [*items.additions("t", by_set, RANKS, writer)]
    assert all(len(body) < 65_535 for _, _, body in messages)
    assert [key for _, _, keys in read(messages) for key in keys] == list(range(10_000))
    assert all(keys for _, _, keys in read(messages))


def test_short_keys_are_padded_before_the_value() -> None:
    item = dict(nfnetlink.attributes(items.plain((BARE_PORT,), (MARK,))((80,), (7,))))[items.ITEM]
    read = dict(nfnetlink.attributes(item))
    assert items.key_of(read) == b"\0\x50"
    assert items.value_of(read) == MARK.encode(7)
    assert len(item) % 4 == 0


def test_other_messages_have_no_elements() -> None:
    reply = nfnetlink.Reply(nfnetlink.NLMSG_DONE, 1, 0, False, bytes(8))
    assert items.set_name(reply) == "" and not list(items.listed(reply))
