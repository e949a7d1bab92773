"""Room is given once."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan.api.objects import Obj
from sampan.kubelet.allocation import Allocation
from sampan.kubelet.config import KubeletConfig
from sampan.kubelet.runtime.fake import FakeRuntime

pytestmark = pytest.mark.virtual_time

CAPACITY = {"cpu": "2", "memory": "1Gi", "pods": "10"}
CONFIG = KubeletConfig("n", Path("/x"), cgroup_root="/r")


def pod(uid: str, cpu: str) -> Obj:
    requests = {"requests": {"cpu": cpu}}
    return {
        "metadata": {"name": uid, "uid": uid},
        "spec": {"containers": [{"name": "c", "resources": requests}]},
    }


def test_room_is_taken_and_given_back() -> None:
    allocation = Allocation(FakeRuntime(), CONFIG, CAPACITY)
    assert allocation.admit(pod("a", "1500m")) is None
    refused = allocation.admit(pod("b", "1"))
    assert refused is not None and refused.reason == "OutOfcpu"
    assert allocation.room_for("b")["cpu"] == 500, "who is refused takes no room"
    assert allocation.room_for("a")["cpu"] == 2000
    allocation.release("a")
    assert allocation.admit(pod("b", "1")) is None


def test_a_pod_of_an_earlier_process_is_not_asked_again() -> None:
    """The node may have shrunk meanwhile; what runs, runs."""
    allocation = Allocation(FakeRuntime(), CONFIG, CAPACITY)
    assert allocation.admit(pod("a", "3"), known=True) is None
    assert allocation.admit(pod("b", "1")) is not None


def test_a_pod_that_has_ended_takes_no_room() -> None:
    allocation = Allocation(FakeRuntime(), CONFIG, CAPACITY)
    assert allocation.admit({**pod("a", "2"), "status": {"phase": "Succeeded"}}) is None
    assert allocation.admit(pod("b", "2")) is None


async def test_classes_weigh_what_is_on_the_node() -> None:
    runtime = FakeRuntime()
    allocation = Allocation(runtime, CONFIG, CAPACITY)
    task = asyncio.create_task(allocation.run())
    allocation.admit(pod("a", "500m"))
    await asyncio.sleep(0.01)
    burstable = "/r/kubepods/burstable"
    assert runtime.resources[burstable].cpu_shares == 512
    assert runtime.resources["/r/kubepods"].memory_bytes == 1 << 30
    allocation.release("a")
    await asyncio.sleep(0.01)
    assert runtime.resources[burstable].cpu_shares == 2
    task.cancel()
    await asyncio.wait([task])


@given(
    st.lists(
        st.tuples(st.sampled_from("abcdef"), st.integers(0, 12), st.sampled_from(["admit", "release"])),
        max_size=40,
    )
)
def test_room_is_never_given_twice_and_all_comes_back(steps: list[tuple[str, int, str]]) -> None:
    allocation = Allocation(FakeRuntime(), CONFIG, CAPACITY)
    held: dict[str, int] = {}
    for uid, share, what in steps:
        if what == "release":
            allocation.release(uid)
            held.pop(uid, None)
        elif uid not in held and allocation.admit(pod(uid, f"{share * 100}m")) is None:
            held[uid] = share * 100
        assert sum(held.values()) <= 2000 and len(held) <= 10
        assert allocation.room_for("new")["cpu"] == 2000 - sum(held.values())
    for uid in list(held):
        allocation.release(uid)
    assert allocation.room_for("new") == allocation.room


def test_what_the_node_needs_has_its_room_from_others() -> None:
    allocation = Allocation(FakeRuntime(), CONFIG, CAPACITY)
    allocation.admit(pod("a", "1500m"))
    allocation.admit(pod("b", "500m"))
    critical = pod("c", "1")
    assert allocation.admit(critical) is not None and allocation.make_room(critical) == []
    critical["spec"]["priority"] = 2_000_000_000
    assert allocation.make_room(critical) == ["a"]
    assert allocation.room_for("x")["cpu"] == 500
