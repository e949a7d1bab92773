"""Who goes first."""

from __future__ import annotations

from sampan.api.objects import Obj
from sampan.kubelet.eviction.ranking import PodUsage, message, ranked
from sampan.kubelet.eviction.signals import Observation
from sampan.kubelet.eviction.thresholds import Threshold

MIB = 1 << 20


def pod(name: str, memory: str = "", priority: int = 0) -> Obj:
    requests = {"requests": {"memory": memory}} if memory else {}
    return {
        "metadata": {"name": name},
        "spec": {"containers": [{"name": "c", "resources": requests}], "priority": priority},
    }


def names(found: list[PodUsage]) -> str:
    return "".join(usage.pod["metadata"]["name"] for usage in found)


def test_memory() -> None:
    usages = [
        PodUsage(pod("a", "100Mi"), {"memory": 90 * MIB}),
        PodUsage(pod("b", "10Mi"), {"memory": 20 * MIB}),
        PodUsage(pod("c"), {"memory": 15 * MIB}),
        PodUsage(pod("d", "10Mi", priority=5), {"memory": 500 * MIB}),
        PodUsage(pod("e", "10Mi", priority=-5), {"memory": 1 * MIB}),
        PodUsage(pod("f", priority=2_000_000_000), {"memory": 900 * MIB}),
    ]
    # Over its request first, then less priority, then most over; what the node needs itself never.
    assert names(ranked(usages, "memory.available")) == "cbdea"


def test_process_ids_go_by_priority_alone() -> None:
    usages = [
        PodUsage(pod("a"), {"pids": 5}),
        PodUsage(pod("b"), {"pids": 50}),
        PodUsage(pod("c", priority=1), {"pids": 500}),
    ]
    assert names(ranked(usages, "pid.available")) == "bac"


def test_message() -> None:
    threshold = Threshold("memory.available", 100 * MIB)
    usage = PodUsage(pod("a", "10Mi"), {"memory": 20 * MIB}, {"c": {"memory": 20 * MIB + 5}})
    assert message(threshold, Observation(50 * MIB, 1 << 30), usage) == (
        "The node was low on resource: memory. Threshold quantity: 100Mi, available: 50Mi. "
        "Container c was using 20Mi, request is 10Mi, has larger consumption of memory. "
    )
    disk = Threshold("nodefs.inodesFree", percent=10)
    assert message(disk, Observation(5, 100), PodUsage(pod("a"), {})) == (
        "The node was low on resource: inodes. Threshold quantity: 10, available: 5. "
    )
