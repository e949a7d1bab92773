"""Which endpoints a node uses: one row per rule of the documentation."""

from __future__ import annotations

import pytest

from harness.lab import slice_of
from sampan.api.objects import Obj
from sampan.proxy.topology import candidates, choose, choose_local

TCP = [{"name": "", "port": 80, "protocol": "TCP"}]


def ends(*conditions: Obj) -> list[Obj]:
    return [{"addresses": [f"10.0.0.{n}"], "nodeName": "other"} | one for n, one in enumerate(conditions)]


def hinted(zones: str = "", nodes: str = "", **more: object) -> Obj:
    hints: Obj = {}
    if zones:
        hints["forZones"] = [{"name": name} for name in zones.split()]
    if nodes:
        hints["forNodes"] = [{"name": name} for name in nodes.split()]
    return {"hints": hints, **more}


def chosen(listed: list[Obj], zone: str = "a") -> list[int]:
    found = candidates([slice_of("web", TCP, *listed)], "", "tcp", "node-1")
    return [int(c.endpoint[0][-1]) for c in choose(found, "node-1", zone)]


NOT_READY = {"conditions": {"ready": False, "serving": True, "terminating": True}}


@pytest.mark.parametrize(
    ("listed", "expected"),
    [
        ([hinted("a"), hinted("b"), hinted("a b")], [0, 2]),
        # One without a hint: nobody's hints count.
        ([hinted("a"), {}, hinted("b")], [0, 1, 2]),
        # None for our zone.
        ([hinted("b"), hinted("c")], [0, 1]),
        # Those that are not ready have no say.
        ([hinted("a"), NOT_READY], [0]),
        # Nodes come before zones,
        ([hinted("a", "node-1"), hinted("a", "node-2")], [0]),
        # but only if one is for us.
        ([hinted("a", "node-2"), hinted("b", "node-2")], [0]),
        ([hinted("a", "node-1"), hinted("a")], [0, 1]),
        # Nobody is ready: who still serves, whatever the hints.
        ([hinted("b", **NOT_READY), hinted("a", **NOT_READY)], [0, 1]),
    ],
)
def test_hints(listed: list[Obj], expected: list[int]) -> None:
    assert chosen(ends(*listed)) == expected


def test_zone_hints_need_a_node_with_a_zone() -> None:
    assert chosen(ends(hinted("a"), hinted("b")), zone="") == [0, 1]


def test_local_traffic_stays_here_and_never_looks_at_hints() -> None:
    listed = ends(hinted("b", "node-2", nodeName="node-1"), hinted("a"), {"nodeName": "node-1"} | NOT_READY)
    found = candidates([slice_of("web", TCP, *listed)], "", "tcp", "node-1")
    assert [c.endpoint[0] for c in choose_local(found)] == ["10.0.0.0"]
    assert [c.endpoint[0] for c in choose_local(found[1:])] == ["10.0.0.2"]


def test_the_same_endpoint_in_two_slices_is_one_and_ready_if_either_says_so() -> None:
    both = [slice_of("web", TCP, *ends(NOT_READY)), slice_of("web", TCP, *ends({}), suffix="b")]
    for slices in (both, both[::-1]):
        (found,) = candidates(slices, "", "tcp", "node-1")
        assert found.ready
