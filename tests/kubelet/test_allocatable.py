"""Capacity without what is kept back."""

from __future__ import annotations

from pathlib import Path

from sampan.kubelet.allocatable import allocatable, extended, for_pods
from sampan.kubelet.config import KubeletConfig
from sampan.kubelet.eviction.thresholds import EvictionConfig

CAPACITY = {"cpu": "4", "memory": "1048576Ki", "ephemeral-storage": "10Gi", "pods": "110"}


def config(**fields: object) -> KubeletConfig:
    return KubeletConfig("n", Path("/x"), **fields)  # type: ignore[arg-type]


def test_reserved_and_margin() -> None:
    kept = config(
        system_reserved={"cpu": "500m", "memory": "100Mi"},
        kube_reserved={"cpu": "250m"},
        eviction=EvictionConfig(hard={"memory.available": "100Mi", "nodefs.available": "10%"}),
    )
    assert allocatable(CAPACITY, kept) == {
        "cpu": "3250m",
        "memory": "843776Ki",
        "ephemeral-storage": "9Gi",
        "pods": "110",
    }
    # What Pods use of the margin gets them evicted, not killed.
    assert for_pods(CAPACITY, kept) == {"cpu": 3250, "memory": 924 << 20}


def test_by_default_only_the_margins_are_kept() -> None:
    found = allocatable(CAPACITY, config())
    assert (found["cpu"], found["memory"]) == ("4", f"{(1024 - 100) * 1024}Ki")


def test_more_reserved_than_there_is() -> None:
    assert allocatable(CAPACITY, config(system_reserved={"cpu": "5"}))["cpu"] == "0"


def test_what_others_say_the_node_has() -> None:
    node = {"status": {"capacity": {"cpu": "4", "example.com/gpu": "2", "hugepages-2Mi": "0"}}}
    assert extended(node) == {"example.com/gpu": "2"}


def test_huge_pages_are_no_memory_for_others() -> None:
    found = allocatable(CAPACITY | {"hugepages-2Mi": "100Mi"}, config(eviction=EvictionConfig(hard={})))
    assert found["memory"] == f"{(1024 - 100) * 1024}Ki"
