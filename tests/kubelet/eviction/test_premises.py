"""The node as the evictor sees it, on a kubelet among fakes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from harness.kubeletworld import World, make_pod, phase, ready, restarts, running
from sampan.api.objects import condition_of
from sampan.api.resources import NODES
from sampan.kubelet.eviction.premises import Premises

pytestmark = pytest.mark.virtual_time


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with running(tmp_path) as found:
        yield found


def premises(world: World) -> Premises:
    found = world.kubelet._evictor._node
    assert isinstance(found, Premises)
    return found


async def test_a_shortage_is_told_to_the_api_and_to_whoever_wants_to_come(world: World) -> None:
    premises(world).told(frozenset({"MemoryPressure"}))
    async with asyncio.timeout(30):
        node = world.api.get(NODES, "node")
        while (condition_of(node or {}, "MemoryPressure") or {}).get("status") != "True":
            await asyncio.sleep(0.01)
            node = world.api.get(NODES, "node")
    world.api.add(make_pod("late"))
    late = await world.until(phase("Failed"), "late")
    assert late["status"]["reason"] == "Evicted"
    assert late["status"]["message"] == "Pod was rejected: The node had condition: [MemoryPressure]. "
    premises(world).told(frozenset())
    world.api.add(make_pod("later"))
    await world.until(ready, "later")
    said = [reason for reason, _ in await world.said() if reason.startswith("NodeHas")]
    assert said == ["NodeHasInsufficientMemory", "NodeHasSufficientMemory"]


async def test_an_evicted_pod_says_why(world: World) -> None:
    world.api.add(make_pod(terminationGracePeriodSeconds=30))
    await world.until(ready)
    (tenant,) = premises(world).tenants
    tenant.evict("Evicted", "The node was low on resource: memory. ", grace_s=0.0)
    pod = await world.until(phase("Failed"))
    assert (pod["status"]["reason"], pod["status"]["message"]) == (
        "Evicted",
        "The node was low on resource: memory. ",
    )
    target = condition_of(pod, "DisruptionTarget")
    assert target is not None and target["reason"] == "TerminationByKubelet"


async def test_ended_attempts_go_and_the_last_one_stays(world: World) -> None:
    world.api.add(make_pod())
    await world.until(ready)
    (record,) = world.runtime.records()
    world.runtime.finish(record.spec.id, 1)
    await world.until(lambda pod: restarts(pod) == 1 and ready(pod))
    assert len(world.runtime.records()) == 2
    await premises(world).reclaim()
    (left,) = world.runtime.records()
    assert left.exit is None


async def test_what_a_pod_has_written_is_measured(world: World) -> None:
    world.api.add(make_pod())
    pod = await world.until(ready)
    log = world.root / "pods" / pod["metadata"]["uid"] / "web" / "0.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_bytes(b"x" * 8192)
    assert (await premises(world).measure(pod)).containers["web"].bytes >= 8192
    assert premises(world).observe()["memory.available"].capacity > 0
