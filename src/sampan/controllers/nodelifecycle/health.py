"""What a node's conditions and silence mean: conditions to write, taints to set. Pure.

Source: Nodes docs ("node controller"), taint-and-toleration docs ("taint based evictions").
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sampan.api.clock import format_time
from sampan.api.objects import Obj
from sampan.controllers.conditions import find

REPORTED = ("Ready", "MemoryPressure", "DiskPressure", "PIDPressure")
"""Conditions that only the kubelet knows; when it is silent nobody does."""

NOT_READY = "node.kubernetes.io/not-ready"
UNREACHABLE = "node.kubernetes.io/unreachable"
UNSCHEDULABLE = "node.kubernetes.io/unschedulable"

_BY_CONDITION: Mapping[tuple[str, str], str] = {
    ("Ready", "False"): NOT_READY,
    ("Ready", "Unknown"): UNREACHABLE,
    ("MemoryPressure", "True"): "node.kubernetes.io/memory-pressure",
    ("DiskPressure", "True"): "node.kubernetes.io/disk-pressure",
    ("PIDPressure", "True"): "node.kubernetes.io/pid-pressure",
    ("NetworkUnavailable", "True"): "node.kubernetes.io/network-unavailable",
}
OWNED = frozenset(_BY_CONDITION.values()) | {UNSCHEDULABLE}


def silent_conditions(present: Sequence[Obj], created: str, now_s: float) -> list[Obj] | None:
    """The conditions of a node whose kubelet has fallen silent; None if they say so already."""
    now = format_time(now_s)
    result = list(present)
    changed = False
    for kind in REPORTED:
        old = find(present, kind)
        if old is None:
            result.append(
                {
                    "type": kind,
                    "status": "Unknown",
                    "reason": "NodeStatusNeverUpdated",
                    "message": "Kubelet never posted node status.",
                    "lastHeartbeatTime": created,
                    "lastTransitionTime": now,
                }
            )
            changed = True
        elif old["status"] != "Unknown":
            result[result.index(old)] = {
                **old,
                "status": "Unknown",
                "reason": "NodeStatusUnknown",
                "message": "Kubelet stopped posting node status.",
                "lastTransitionTime": now,
            }
            changed = True
    return result if changed else None


def ready_status(node: Obj) -> str:
    """`True`, `False` or `Unknown`; False while nothing was said: a node is not ready until it says so."""
    ready = find((node.get("status") or {}).get("conditions") or (), "Ready")
    return ready["status"] if ready else "False"


def wanted_taints(node: Obj, now_s: float) -> list[Obj]:
    """All taints of the node as they should be: those of others as they are, and ours by its conditions.

    A node that has said nothing yet takes no new Pods, but nothing is driven off it.
    """
    spec = node.get("spec") or {}
    present: list[Obj] = spec.get("taints") or []
    statuses = {each["type"]: each["status"] for each in (node.get("status") or {}).get("conditions") or ()}
    heard = "Ready" in statuses
    statuses.setdefault("Ready", "False")
    keys = {_BY_CONDITION[item] for item in statuses.items() if item in _BY_CONDITION}
    if spec.get("unschedulable"):
        keys.add(UNSCHEDULABLE)
    wanted = [(key, "NoSchedule") for key in sorted(keys)]
    if heard:
        wanted += [(key, "NoExecute") for key in sorted(keys & {NOT_READY, UNREACHABLE})]
    taints = [each for each in present if each["key"] not in OWNED or (each["key"], each["effect"]) in wanted]
    there = {(each["key"], each["effect"]) for each in taints}
    now = format_time(now_s)
    return taints + [
        {"key": key, "effect": effect, **({"timeAdded": now} if effect == "NoExecute" else {})}
        for key, effect in wanted
        if (key, effect) not in there
    ]
