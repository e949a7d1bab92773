"""The kernel's own table: what it refuses, and what that is called."""

from __future__ import annotations

import pytest

from harness.lab import Lab
from sampan.proxy.contract import TableDrifted
from sampan.proxy.policy.nft import KernelPolicyTable
from sampan.proxy.policy.wire import Count
from sampan.proxy.table import Change, Element, Fields

pytestmark = pytest.mark.root

IN: tuple[Element, Fields] = (Element("in4", ("10.0.0.2",)), (5,))
COUNTED: tuple[Element, Fields] = (Element("dropin4", ("10.0.0.2",)), ())


async def test_a_transaction_is_taken_whole_or_not_at_all(lab: Lab) -> None:
    kernel = KernelPolicyTable(lab.node.socket)
    await kernel.open()
    with pytest.raises(TableDrifted, match="No such file or directory"):
        kernel.apply(Change(add=(IN,)))
    await kernel.replace(dict([IN]))
    with pytest.raises(TableDrifted, match="2 changes to sampan-policy: File exists"):
        kernel.apply(Change(add=(COUNTED, IN)))
    assert await kernel.listing() == dict([IN])
    kernel.apply(Change(delete=(IN,), add=(COUNTED, (IN[0], (6,)))))
    assert await kernel.listing() == {IN[0]: (6,), COUNTED[0]: ()}
    assert await kernel.dropped() == {("ingress", "10.0.0.2"): Count(0, 0)}
    assert await kernel.refused() == {}
    kernel.close()


async def test_ranges_move_within_one_transaction(lab: Lab) -> None:
    kernel = KernelPolicyTable(lab.node.socket)
    await kernel.open()
    whole = (Element("net4", ("10.1.0.0", "10.1.0.255")), (9,))
    parts = tuple(
        (Element("net4", bounds), (number,))
        for bounds, number in (
            (("10.1.0.0", "10.1.0.7"), 9),
            (("10.1.0.8", "10.1.0.8"), 12),
            (("10.1.0.9", "10.1.0.255"), 9),
        )
    )
    await kernel.replace(dict([whole]))
    for change in (Change(delete=(whole,), add=parts), Change(delete=parts, add=(whole,))):
        kernel.apply(change)
        assert await kernel.listing() == dict(change.add)
    kernel.close()
