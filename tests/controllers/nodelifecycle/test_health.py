"""What silence and conditions make of a node, and when a Pod has to leave."""

from __future__ import annotations

from typing import Any

import pytest

from sampan.api.clock import format_time
from sampan.api.objects import Obj
from sampan.controllers.nodelifecycle.eviction import leaves_at
from sampan.controllers.nodelifecycle.health import silent_conditions, wanted_taints

NOW = 1_000_000.0


def node(taints: list[Obj] | None = None, unschedulable: bool = False, **statuses: str) -> Obj:
    return {
        "metadata": {"name": "n"},
        "spec": {"taints": taints or [], "unschedulable": unschedulable},
        "status": {"conditions": [{"type": kind, "status": status} for kind, status in statuses.items()]},
    }


THEIRS = {"key": "dedicated", "value": "gpu", "effect": "NoSchedule"}
NOT_READY = {"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (node(Ready="True"), []),
        (node(), ["not-ready:NoSchedule"]),
        (node(Ready="False"), ["not-ready:NoSchedule", "not-ready:NoExecute"]),
        (node(Ready="Unknown"), ["unreachable:NoSchedule", "unreachable:NoExecute"]),
        (node([THEIRS], Ready="True", MemoryPressure="True"), ["gpu", "memory-pressure:NoSchedule"]),
        (node([NOT_READY, THEIRS], Ready="True"), ["gpu"]),
        (node(unschedulable=True, Ready="True"), ["unschedulable:NoSchedule"]),
    ],
)
def test_taints(given: Obj, expected: list[str]) -> None:
    taints = wanted_taints(given, NOW)
    assert [
        "gpu" if taint == THEIRS else f"{taint['key'].partition('/')[2]}:{taint['effect']}"
        for taint in taints
    ] == expected
    given["spec"]["taints"] = taints
    assert wanted_taints(given, NOW + 5) == taints


def test_a_silent_node_is_unknown_once() -> None:
    present = [{"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "ok"}]
    found = silent_conditions(present, "2026-01-01T00:00:00Z", NOW)
    assert found is not None
    assert [(each["type"], each["status"], each["reason"]) for each in found] == [
        ("Ready", "Unknown", "NodeStatusUnknown"),
        ("MemoryPressure", "Unknown", "NodeStatusNeverUpdated"),
        ("DiskPressure", "Unknown", "NodeStatusNeverUpdated"),
        ("PIDPressure", "Unknown", "NodeStatusNeverUpdated"),
    ]
    assert silent_conditions(found, "2026-01-01T00:00:00Z", NOW) is None


def taint(key: str, ago_s: float = 10) -> Obj:
    return {"key": key, "effect": "NoExecute", "timeAdded": format_time(NOW - ago_s)}


def tolerates(key: str, seconds: int | None = None, **more: Any) -> Obj:
    limit = {} if seconds is None else {"tolerationSeconds": seconds}
    return {"key": key, "operator": "Exists", "effect": "NoExecute", **limit, **more}


@pytest.mark.parametrize(
    ("tolerations", "taints", "expected"),
    [
        ([], [], None),
        ([], [{"key": "a", "effect": "NoSchedule"}], None),
        ([], [taint("a")], NOW),
        ([tolerates("a")], [taint("a")], None),
        ([tolerates("b")], [taint("a")], NOW),
        ([tolerates("a", 300)], [taint("a")], NOW + 290),
        ([tolerates("a", 300), tolerates("a", 60)], [taint("a")], NOW + 50),
        ([tolerates("a", 300), tolerates("b", 20)], [taint("a"), taint("b")], NOW + 10),
        ([tolerates("a", -5)], [taint("a")], NOW - 10),
        ([{"operator": "Exists"}], [taint("a"), taint("b")], None),
    ],
)
def test_when_a_pod_leaves(tolerations: list[Obj], taints: list[Obj], expected: float | None) -> None:
    assert leaves_at({"spec": {"tolerations": tolerations}}, taints, NOW) == expected
