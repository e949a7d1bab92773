"""Exact bytes of transactions, and every element through the encoder and back."""

from __future__ import annotations

import struct
from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan.proxy import nfnetlink, wire
from sampan.proxy.fields import IP6, MARK, PORT, PROTO, Field
from sampan.proxy.table import MADE_ONCE, STICKY, Change, Element, Fields

FE: tuple[Element, Fields] = (Element("fe4", ("10.96.0.20", "tcp", 80)), (0x01000001,))
EP: tuple[Element, Fields] = (Element("ep4", (1, 0)), ("10.244.0.5", 8080))
HAIR: tuple[Element, Fields] = (Element("hair4", ("10.244.0.5", "10.244.0.5")), ())


def messages(change: Change) -> list[str]:
    """`type flags body` of every message of the transaction, in hex groups of four bytes."""
    batch, _ = wire.transaction(change, 1)
    found, at = [], 0
    while at < len(batch):
        length, kind, flags, _, _ = struct.unpack_from("=IHHII", batch, at)
        found.append(f"{kind:#x} {flags:#x} {batch[at + 16 : at + length].hex(' ', -4)}")
        at += length
    return found


TABLE_FE = "01000000 0b000100 73616d70 616e0000 08000200 66653400"
TABLE_EP = "01000000 0b000100 73616d70 616e0000 08000200 65703400"


def test_one_endpoint_for_another() -> None:
    assert messages(Change((FE,), (EP,))) == [
        "0x10 0x1 0000000a",
        # delete fe4: 10.96.0.20 . tcp . 80
        f"0xa0e 0x1 {TABLE_FE} 1c000380 18000180 14000180 10000100 0a600014 06000000 00500000",
        # add ep4: 1 . 0 : 10.244.0.5 . 8080
        f"0xa0c 0x605 {TABLE_EP} 28000380 24000180 10000180 0c000100 01000000 00000000"
        " 10000280 0c000100 0af40005 1f900000",
        "0x11 0x1 0000000a",
    ]


def test_endpoints_come_before_what_leads_to_them_and_go_after() -> None:
    kinds = [message.split(" ", 2)[0::2] for message in messages(Change((EP, FE), (FE, HAIR, EP)))]
    sets = [bytes.fromhex(body.replace(" ", ""))[20:24].rstrip(b"\0").decode() for _, body in kinds[1:-1]]
    assert sets == ["fe4", "ep4", "ep4", "hair", "fe4"]


def test_new_class_brings_its_chain() -> None:
    made = messages(Change(add=((Element("class", (40,)), ("n40",)),)))
    assert [line.split()[0] for line in made] == ["0x10", "0xa03", "0xa06", "0xa0c", "0x11"]
    rule = made[2]
    for part in (b"numgen\0", b"meta\0", b"immediate\0", b"pick\0", b"n40\0"):
        assert part.hex() in rule.replace(" ", "")


def test_new_affinity_timeout_brings_its_chain_for_the_families_there_are() -> None:
    change = Change(add=((Element("class", (STICKY | 3,)), ("t3",)),))
    batch, _ = wire.transaction(change, 1, (4,))
    assert b"aff4" in batch and b"aff6" not in batch
    assert b"seat\0" in batch and b"seated\0" in batch
    assert struct.pack(">Q", 3000) in batch


def test_long_lists_are_split_below_the_limit_of_an_attribute() -> None:
    many = tuple((Element("ep4", (1, n)), ("10.0.0.1", n)) for n in range(3000))
    batch, last = wire.transaction(Change(add=many), 10)
    sizes, at, found = [], 0, {}
    for reply in nfnetlink.replies(batch):
        sizes.append(len(reply.body))
        found.update(wire.elements(reply))
        at += 1
    assert max(sizes) < 65_535
    assert found == dict(many)
    assert last == 10 + at - 2


@pytest.mark.parametrize("name", wire.SHAPES)
@given(data=st.data())
def test_every_element_comes_back(name: str, data: st.DataObject) -> None:
    values = {
        4: st.ip_addresses(v=4).map(str),
        16: st.ip_addresses(v=6).map(lambda ip: IP6.decode(ip.packed)),
    }

    def of(fields: tuple[Field, ...]) -> Fields:
        drawn: list[str | int] = []
        for field in fields:
            if field is PROTO:
                drawn.append(data.draw(st.sampled_from(["tcp", "udp", "sctp"])))
            elif field is PORT:
                drawn.append(data.draw(st.integers(0, 65535)))
            elif field in (MARK, wire.SORTED_MARK):
                drawn.append(data.draw(st.integers(0, 2**32 - 1)))
            else:
                drawn.append(data.draw(values[field.width]))
        return tuple(drawn)

    shape = wire.SHAPES[name]
    value: Fields = ("n3",) if name in MADE_ONCE else of(shape.value)
    element = Element(name, of(shape.key) if name not in MADE_ONCE else (3,))
    if shape.end:
        network = ip_network(
            f"{element.key[1]}/{data.draw(st.integers(0, shape.key[1].width * 8))}", strict=False
        )
        element = Element(name, (element.key[0], str(network)))
    batch, _ = wire.transaction(Change(add=((element, value),)), 1)
    found = [wire.elements(reply) for reply in nfnetlink.replies(batch)]
    assert {key: v for part in found for key, v in part.items()} == {element: value}
