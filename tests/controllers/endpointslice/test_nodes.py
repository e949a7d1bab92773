"""Zones of nodes, and what share of the CPUs each has."""

from __future__ import annotations

import pytest

from sampan.api.objects import Obj
from sampan.controllers.endpointslice.nodes import Nodes


def node(name: str, zone: str = "", cpu: str = "4", ready: bool = True, **labels: str) -> Obj:
    if zone:
        labels["topology.kubernetes.io/zone"] = zone
    return {
        "metadata": {"name": name, "labels": labels},
        "status": {
            "allocatable": {"cpu": cpu},
            "conditions": [{"type": "Ready", "status": str(ready)}],
        },
    }


def nodes(*listed: Obj) -> Nodes:
    made = Nodes()
    for each in listed:
        made.change(None, each)
    return made


CONTROL_PLANE: Obj = node("c", "z")
CONTROL_PLANE["metadata"]["labels"]["node-role.kubernetes.io/control-plane"] = ""


@pytest.mark.parametrize(
    ("listed", "ratios"),
    [
        ([node("a", "x"), node("b", "y", "12000m")], {"x": 0.25, "y": 0.75}),
        ([node("a", "x"), node("b", "x"), node("c", "y", "8")], {"x": 0.5, "y": 0.5}),
        ([node("a", "x"), node("b", "x")], {}),
        ([node("a", "x"), node("b", "y"), node("c")], {}),
        ([node("a", "x"), node("b", "y", "0")], {}),
        ([node("a", "x"), node("b", "y"), node("c", ready=False)], {"x": 0.5, "y": 0.5}),
        ([node("a", "x"), node("b", "y"), CONTROL_PLANE], {"x": 0.5, "y": 0.5}),
        ([], {}),
    ],
)
def test_shares_of_the_cpus(listed: list[Obj], ratios: dict[str, float]) -> None:
    assert nodes(*listed).ratios == ratios


def test_one_zone_alone_is_told_from_missing_facts() -> None:
    assert nodes(node("a", "x"), node("b", "x")).in_one_zone()
    assert not nodes(node("a", "x"), node("b")).in_one_zone()
    assert not nodes().in_one_zone()


def test_what_a_change_changes() -> None:
    known = Nodes()
    assert known.change(None, node("a", "x")) == (True, False)
    assert known.change(None, node("b", "y")) == (True, True)
    assert known.zones == {"a": "x", "b": "y"}
    assert known.change(node("a", "x"), node("a", "x")) == (False, False)
    assert known.change(node("a", "x"), node("a", "x", ready=False)) == (False, True)
    assert known.change(node("a", "x"), node("a", "z")) == (True, True)
    assert known.change(node("b", "y"), None) == (True, True)
    assert known.zones == {"a": "z"}
    assert known.change(None, node("bare")) == (True, False)
    assert known.zones["bare"] == ""
