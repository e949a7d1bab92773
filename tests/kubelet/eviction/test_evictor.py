"""Shortages on a node of fakes: who is evicted, when, and in which words."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from sampan.api.objects import Obj
from sampan.kubelet.eviction.evictor import Evictor
from sampan.kubelet.eviction.localstorage import LocalUsage
from sampan.kubelet.eviction.signals import Observation
from sampan.kubelet.eviction.thresholds import EvictionConfig
from sampan.kubelet.lifecycle import PodState
from sampan.kubelet.podview import PodView
from sampan.kubelet.runtime.contract import SandboxSpec, Stats
from sampan.kubelet.runtime.fake import FakeRuntime
from sampan.kubelet.volumes.usage import Usage

pytestmark = pytest.mark.virtual_time

MIB = 1 << 20
CONFIG = EvictionConfig(hard={"memory.available": "100Mi", "nodefs.available": "10%"}, transition_s=0.05)


def pod(name: str, *, limit: str = "", priority: int = 0) -> Obj:
    resources = {"limits": {"ephemeral-storage": limit}} if limit else {}
    return {
        "metadata": {"name": name, "namespace": "default", "uid": name},
        "spec": {"containers": [{"name": "c", "resources": resources}], "priority": priority},
    }


class Tenant:
    def __init__(self, pod: Obj) -> None:
        self.view = PodView.of(pod, 0.0)
        self.view.state = PodState.UP
        self.evicted: tuple[str, str, float | None] | None = None

    def evict(self, reason: str, message: str, *, grace_s: float | None = None) -> None:
        self.evicted = (reason, message, grace_s)
        self.view.verdict = (reason, message)


class Node:
    def __init__(self, *pods: Obj) -> None:
        self.runtime = FakeRuntime()
        self.tenants = [Tenant(pod) for pod in pods]
        self.memory, self.disk = 1000 * MIB, 1000
        self.used: dict[str, int] = {}
        self.reclaims = 0
        self.reclaimable = 0
        self.heard: list[frozenset[str]] = []

    async def evictor(self, config: EvictionConfig = CONFIG) -> Evictor:
        for tenant in self.tenants:
            uid = tenant.view.uid
            await self.runtime.start_sandbox(SandboxSpec(uid, "default", uid, "h", "/c"))
        return Evictor(config, self.runtime, self)

    def observe(self) -> Mapping[str, Observation]:
        return {
            "memory.available": Observation(self.memory, 2000 * MIB),
            "nodefs.available": Observation(self.disk, 1000),
        }

    async def measure(self, pod: Obj) -> LocalUsage:
        return LocalUsage({"c": Usage(self.used.get(pod["metadata"]["name"], 0))})

    async def reclaim(self) -> None:
        self.reclaims += 1
        self.disk += self.reclaimable

    def told(self, conditions: frozenset[str]) -> None:
        self.heard.append(conditions)

    def uses(self, name: str, memory: int) -> None:
        self.runtime.usage[name] = Stats(0, memory, memory, 1)

    @property
    def gone(self) -> list[str]:
        return [tenant.view.uid for tenant in self.tenants if tenant.evicted]


async def test_enough_of_all_costs_nobody_anything() -> None:
    node = Node(pod("a"))
    await (await node.evictor()).look()
    assert node.gone == [] and node.heard == []


async def test_one_goes_at_a_time_and_the_node_says_so() -> None:
    node = Node(pod("a"), pod("b"))
    evictor = await node.evictor()
    node.uses("a", 10 * MIB)
    node.uses("b", 20 * MIB)
    node.memory = 50 * MIB
    await evictor.look()
    assert node.gone == ["b"] and node.heard == [{"MemoryPressure"}]
    assert node.tenants[1].evicted == (
        "Evicted",
        "The node was low on resource: memory. Threshold quantity: 100Mi, available: 50Mi. ",
        0.0,
    )
    await evictor.look()
    assert node.gone == ["b"], "it has not ended yet"
    node.tenants[1].view.state = PodState.RELEASED
    await evictor.look()
    assert node.gone == ["a", "b"]


async def test_the_condition_goes_after_a_while() -> None:
    node = Node()
    evictor = await node.evictor()
    node.memory = 50 * MIB
    await evictor.look()
    node.memory = 500 * MIB
    await evictor.look()
    assert node.heard == [{"MemoryPressure"}]
    await asyncio.sleep(0.06)
    await evictor.look()
    assert node.heard[-1] == frozenset()


async def test_what_nobody_needs_goes_before_any_pod() -> None:
    node = Node(pod("a"))
    evictor = await node.evictor()
    node.disk, node.reclaimable = 50, 100
    await evictor.look()
    assert (node.reclaims, node.gone) == (1, [])
    node.disk, node.reclaimable = 50, 0
    await evictor.look()
    assert (node.reclaims, node.gone) == (2, ["a"])
    text = "The node was low on resource: ephemeral-storage."
    assert node.tenants[0].evicted is not None and node.tenants[0].evicted[1].startswith(text)


async def test_a_soft_threshold_gives_the_pod_time() -> None:
    soft: Mapping[str, Any] = {
        "soft": {"memory.available": "200Mi"},
        "soft_grace_s": {"memory.available": 0.03},
    }
    node = Node(pod("a"))
    evictor = await node.evictor(EvictionConfig(hard={}, max_pod_grace_s=7, **soft))
    node.memory = 150 * MIB
    await evictor.look()
    assert node.gone == []
    await asyncio.sleep(0.04)
    await evictor.look()
    assert node.tenants[0].evicted is not None and node.tenants[0].evicted[2] == 7


async def test_the_critical_stay() -> None:
    node = Node(pod("a", priority=2_000_000_000))
    evictor = await node.evictor()
    node.memory = 0
    await evictor.look()
    assert node.gone == []


async def test_a_pod_beyond_its_own_limit_goes_whatever_is_left() -> None:
    node = Node(pod("a", limit="1Mi"), pod("b", limit="1Mi"), pod("c"))
    evictor = await node.evictor()
    node.used = {"a": 2 * MIB, "c": 9 * MIB}
    await evictor.keep_limits()
    assert node.gone == ["a"]


async def test_it_looks_by_itself_until_it_is_stopped() -> None:
    node = Node(pod("a", limit="1Mi"))
    evictor = await node.evictor(EvictionConfig(hard={}, period_s=0.01))
    task = asyncio.create_task(evictor.run())
    await asyncio.sleep(0.02)
    node.used = {"a": 2 * MIB}
    await asyncio.sleep(0.1)
    assert node.gone == ["a"]
    task.cancel()
    await asyncio.wait([task])


async def test_large_directories_are_walked_seldom(monkeypatch: pytest.MonkeyPatch) -> None:
    node = Node(pod("a", limit="1Mi"))
    evictor = await node.evictor()
    walks = 0

    async def measure(pod: Obj) -> LocalUsage:
        nonlocal walks
        walks += 1
        await asyncio.sleep(0.01)
        return LocalUsage()

    monkeypatch.setattr(node, "measure", measure)
    for _ in range(5):
        await evictor.keep_limits()
    assert walks == 1, "the next walk comes a hundred times later than the first took"
