"""Nodes that fall silent, over an API server in memory."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from functools import partial

from harness.world import World as BaseWorld
from harness.world import running
from sampan.api.objects import Obj, condition_is_true, condition_of, mutable
from sampan.api.resources import NODES, PODS
from sampan.controllers.nodelifecycle.controller import NodeLifecycleController

READY = {"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "kubelet is posting"}
TOLERATES = [
    {"key": f"node.kubernetes.io/{key}", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 0}
    for key in ("not-ready", "unreachable")
]


def node() -> Obj:
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": "n"},
        "spec": {},
        "status": {"conditions": [READY]},
    }


def lease(number: int) -> Obj:
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": "n", "namespace": "kube-node-lease"},
        "spec": {"holderIdentity": "n", "renewTime": f"2026-01-01T00:00:{number:02}.000000Z"},
    }


def pod(name: str, tolerations: list[Obj]) -> Obj:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"nodeName": "n", "containers": [], "tolerations": tolerations},
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
    }


class World(BaseWorld):
    @property
    def node(self) -> Obj:
        found = self.fake.get(NODES, "n")
        assert found is not None
        return found

    def taints(self) -> set[str]:
        return {f"{taint['key']}:{taint['effect']}" for taint in self.node["spec"].get("taints") or ()}

    def state(self) -> object:
        return self.node


def world(
    *objects: Obj, grace_s: float, clock: Callable[[], float] = lambda: time.monotonic()
) -> AbstractAsyncContextManager[World]:
    return running(World(*objects), partial(NodeLifecycleController, grace_s=grace_s, clock=clock))


async def test_a_node_that_renews_its_lease_stays_ready() -> None:
    async with world(node(), lease(0), grace_s=0.1) as it:
        for number in range(1, 10):
            await asyncio.sleep(0.03)
            it.fake.add(lease(number))
        assert condition_is_true(it.node, "Ready")
        assert it.taints() == set()


async def test_a_silent_node_is_unknown_tainted_and_its_pods_leave() -> None:
    stays = [{"operator": "Exists"}]
    async with world(node(), lease(0), pod("leaves", TOLERATES), pod("stays", stays), grace_s=0.05) as it:
        await it.until(lambda: (condition_of(it.node, "Ready") or {})["status"] == "Unknown")
        await it.until(
            lambda: (
                it.taints()
                == {
                    "node.kubernetes.io/unreachable:NoSchedule",
                    "node.kubernetes.io/unreachable:NoExecute",
                }
            )
        )
        await it.until(lambda: it.fake.get(PODS, "leaves", "default") is None)
        await it.until(lambda: not condition_is_true(it.fake.get(PODS, "stays", "default") or {}, "Ready"))
        back = mutable(it.node)
        back["status"]["conditions"] = [{**READY, "lastHeartbeatTime": "2026-01-01T00:01:00Z"}]
        await it.client.update_status(NODES, back)
        it.fake.add(lease(1))
        await it.until(lambda: it.taints() == set())


async def test_a_new_node_takes_no_pods_until_it_is_ready() -> None:
    fresh = node()
    fresh["status"] = {}
    async with world(fresh, grace_s=10) as it:
        await it.until(lambda: it.taints() == {"node.kubernetes.io/not-ready:NoSchedule"})
        ready = mutable(it.node)
        ready["status"] = {"conditions": [READY]}
        await it.client.update_status(NODES, ready)
        await it.until(lambda: it.taints() == set())


async def test_a_pause_of_the_controller_itself_is_held_against_no_node() -> None:
    offset_s = 0.0
    async with world(node(), lease(0), grace_s=0.2, clock=lambda: time.monotonic() + offset_s) as it:
        await asyncio.sleep(0.1)
        offset_s = 60.0  # SIGSTOP, a suspended laptop: the timer comes a minute late
        await asyncio.sleep(0.2)
        assert condition_is_true(it.node, "Ready")
        assert it.taints() == set()
        await it.until(lambda: (condition_of(it.node, "Ready") or {})["status"] == "Unknown")


async def test_a_toleration_of_a_taint_without_a_time_ends() -> None:
    tainted = node()
    tainted["spec"] = {"taints": [{"key": "k", "value": "v", "effect": "NoExecute"}]}
    tolerates = [{"key": "k", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 1}]
    async with world(tainted, lease(0), pod("leaves", tolerates), grace_s=10) as it:
        await asyncio.sleep(0.5)
        assert it.fake.get(PODS, "leaves", "default") is not None
        await it.until(lambda: it.fake.get(PODS, "leaves", "default") is None)
