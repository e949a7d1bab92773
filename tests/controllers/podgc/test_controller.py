"""Pods that nobody else would take away, over an API server in memory."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Any

from harness.world import World as BaseWorld
from harness.world import running
from sampan.api.objects import Obj
from sampan.api.resources import NODES, PODS
from sampan.controllers.podgc.controller import PodGarbageCollector


def pod(name: str, node: str = "", phase: str = "Running", **metadata: Any) -> Obj:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default", **metadata},
        "spec": {"containers": [], **({"nodeName": node} if node else {})},
        "status": {"phase": phase},
    }


def node(name: str) -> Obj:
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}}


class World(BaseWorld):
    def names(self) -> set[str]:
        return {obj["metadata"]["name"] for obj in self.fake.objects(PODS)}

    def state(self) -> object:
        return self.names()


def world(*objects: Obj, quarantine_s: float = 0.03, kept: int = 100) -> AbstractAsyncContextManager[World]:
    collector = partial(PodGarbageCollector, quarantine_s=quarantine_s, kept=kept)
    return running(World(*objects), collector)


async def test_pods_of_a_node_that_is_gone_go_after_a_while() -> None:
    async with world(node("a"), node("b"), pod("on-a", "a"), pod("on-b", "b")) as it:
        it.fake.remove(NODES, "a")
        await asyncio.sleep(0.01)
        assert it.names() == {"on-a", "on-b"}
        await it.until(lambda: it.names() == {"on-b"})


async def test_a_node_that_comes_back_keeps_its_pods() -> None:
    async with world(node("a"), pod("on-a", "a")) as it:
        it.fake.remove(NODES, "a")
        await asyncio.sleep(0.01)
        it.fake.add(node("a"))
        await asyncio.sleep(0.06)
        assert it.names() == {"on-a"}


async def test_a_pod_on_a_node_that_never_was_goes() -> None:
    async with world(node("a"), pod("lost", "never")) as it:
        await it.until(lambda: not it.names())


async def test_a_terminating_pod_without_a_node_goes() -> None:
    async with world(pod("waiting")) as it:
        await it.client.delete(PODS, "waiting", namespace="default", grace_period_s=30)
        await it.until(lambda: not it.names())


async def test_the_oldest_finished_pods_go_beyond_the_threshold() -> None:
    pods = [pod(f"p{n}", "a", "Succeeded", creationTimestamp=f"2026-01-01T00:00:0{n}Z") for n in range(5)]
    async with world(node("a"), *pods, pod("running", "a"), kept=3) as it:
        await it.until(lambda: it.names() == {"p2", "p3", "p4", "running"})
