"""Exact bytes of elements, and all kinds of them through the encoder and back."""

from __future__ import annotations

import pytest

from sampan.proxy import nfnetlink
from sampan.proxy.policy import wire
from sampan.proxy.policy.wire import Count
from sampan.proxy.table import Change, Element, Fields, Table

ALLOW: tuple[Element, Fields] = (Element("allow", (0x11223344, 5, "tcp", 80)), ())
NET: tuple[Element, Fields] = (Element("net4", ("10.0.0.0", "10.0.0.255")), (7,))
LAST: tuple[Element, Fields] = (Element("net4", ("240.0.0.0", "255.255.255.255")), (8,))


def bodies(change: Change) -> list[tuple[int, str]]:
    """(message kind, items in hex) of the messages between a batch's begin and end."""
    batch, _ = wire.transaction(change, 1)
    found = []
    for reply in list(nfnetlink.replies(batch))[1:-1]:
        parts = dict(nfnetlink.attributes(reply.body[4:]))
        found.append((reply.kind & 0xFF, parts[3].hex(" ", 4)))
    return found


def test_golden_bytes() -> None:
    assert bodies(Change(add=(ALLOW,))) == [
        (12, "1c000180 18000180 14000100 44332211 05000000 06000000 00500000"),
    ]
    assert bodies(Change(delete=(NET,), add=(LAST,))) == [
        (14, "10000180 0c000180 08000100 0a000000 18000180 0c000180 08000100 0a000100 08000300 00000001"),
        (12, "1c000180 0c000180 08000100 f0000000 0c000280 08000100 08000000"),
    ]


TABLE: Table = {
    Element("in4", ("10.0.0.2",)): (1,),
    Element("eg6", ("fd00::2",)): (2,),
    Element("id6", ("fd00::3",)): (0xFFFFFFFF,),
    Element("self4", ("10.0.0.2", "10.0.0.2")): (),
    Element("self6", ("fd00::2", "fd00::2")): (),
    Element("dropin4", ("10.0.0.2",)): (),
    Element("dropeg6", ("fd00::2",)): (),
    Element("peers", (1, 2)): (),
    Element("protos", (1, 2, "sctp")): (),
    Element("allow", (1, 2, "udp", 65535)): (),
    Element("spans", (1, 2)): (3,),
    Element("span", (3, "tcp", 4)): (),
    Element("ports", (1, 79)): (5,),
    Element("ports", (80, 65535)): (6,),
    NET[0]: NET[1],
    Element("net4", ("10.0.1.0", "10.0.1.0")): (9,),
    LAST[0]: LAST[1],
    Element("net6", ("::", "fd00::ffff")): (9,),
}


@pytest.mark.parametrize("name", {element.set for element in TABLE})
def test_elements_come_back(name: str) -> None:
    wanted = {element: value for element, value in TABLE.items() if element.set == name}
    batch, _ = wire.transaction(Change(add=tuple(wanted.items())), 1)
    assert wire.elements(name, list(nfnetlink.replies(batch))) == wanted


def test_a_long_list_goes_in_several_messages() -> None:
    many = tuple((Element("allow", (n, n, "tcp", 80)), ()) for n in range(5000))
    batch, last = wire.transaction(Change(add=many), 10)
    replies = list(nfnetlink.replies(batch))
    assert 3 < len(replies) < 10 and replies[-2].sequence == last
    assert wire.elements("allow", replies) == dict(many)


def test_counts_are_read() -> None:
    counted = nfnetlink.attribute(1, (180).to_bytes(8, "big")) + nfnetlink.attribute(
        2, (3).to_bytes(8, "big")
    )
    expression = nfnetlink.nested(7, nfnetlink.text(1, "counter") + nfnetlink.nested(2, counted))
    key = nfnetlink.nested(1, nfnetlink.attribute(1, bytes((10, 0, 0, 2))))
    body = nfnetlink.family(1) + nfnetlink.nested(3, nfnetlink.nested(1, key + expression))
    reply = nfnetlink.Reply(10 << 8 | 12, 1, 0, False, body)
    assert wire.counts(wire.COUNTED["dropin4"], [reply]) == {("10.0.0.2",): Count(3, 180)}
