"""The static table: what the kernel takes, and what nft makes of it."""

from __future__ import annotations

from collections import Counter

import pytest

from harness.lab import Lab
from sampan.proxy.policy import ruleset, wire
from sampan.proxy.policy.nft import KernelPolicyTable
from sampan.proxy.table import Element, Table

ELEMENTS: Table = {
    Element("in4", ("10.0.0.2",)): (77,),
    Element("net4", ("10.1.0.0", "10.1.0.255")): (9,),
    Element("net4", ("10.1.1.0", "10.1.1.255")): (10,),
    Element("net6", ("fd00::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff")): (9,),
    Element("ports", (80, 90)): (9,),
    Element("ports", (91, 65535)): (10,),
    Element("allow", (77, 5, "tcp", 80)): (),
    Element("span", (77, "sctp", 9)): (),
    Element("dropin4", ("10.0.0.2",)): (),
}
JUDGED = """\
		meta priority . meta mark . meta l4proto . th dport @allow goto passed
		meta priority . meta mark @peers goto passed
		meta priority . meta mark . meta l4proto @protos goto passed
"""
MEANT = "meta priority . meta mark . meta l4proto . ct original proto-dst @allow goto passed"


def test_every_set_is_known_to_the_encoder() -> None:
    assert {planned.name for planned in ruleset.sets()} == {*wire.SHAPES, *wire.LOST}
    for planned in ruleset.sets():
        shape = wire.SHAPES.get(planned.name) or wire.LOST[planned.name]
        assert planned.value == bool(shape.value) and planned.interval == shape.interval


def test_one_batch_replaces_everything() -> None:
    kinds = [kind for kind, _, _ in ruleset.messages()]
    assert kinds[:4] == [0, 2, 0, 3], "table, delete, table, version"
    assert Counter(kinds)[9] == len(list(ruleset.sets()))
    assert ruleset.version_chain() == ruleset.version_chain()


@pytest.mark.root
async def test_nft_can_list_it_and_the_elements_come_back(lab: Lab) -> None:
    """Version 1.0.6 of nft aborts on keys with looked-up parts: no rule may have one."""
    kernel = KernelPolicyTable(lab.node.socket)
    assert await kernel.open() is None
    await kernel.replace(ELEMENTS)
    assert await kernel.listing() == ELEMENTS
    text = await lab.node.execute(("nft", "list", "ruleset"))
    assert text.count(JUDGED) == 2 * 2 * 2, "peer and network, both ways, both families"
    assert text.count(MEANT) == 3 * 2
    assert "10.1.0.0/24 : 0x00000009" in text
    await kernel.replace({})
    assert await kernel.listing() == {}
    kernel.close()
    again = KernelPolicyTable(lab.node.socket)
    assert await again.open() == {}
    again.close()
