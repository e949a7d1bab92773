"""Pods: from create to Ready, from Ready to the first packet through the Service, and what idling costs."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from cluster import connected, cpu_s, resident_mb, tree_pids
from knocking import Knocker
from report import Report

from harness.node import Node
from sampan.api.objects import Obj, condition_is_true, name_of
from sampan.api.resources import PODS, SERVICES
from sampan.client.client import Client

ONE_BY_ONE = 100
AT_ONCE = 50
FIRST_PACKETS = 100
IDLE_PODS = 10
MANY_IDLE_PODS = 250
IDLE_S = 20.0
OBEDIENT = ["sh", "-c", "trap exit TERM; sleep infinity & wait"]
"""A container that ends as soon as it is told to."""


def pod(name: str, labels: dict[str, str] | None = None, *, image: str = "busybox:1.36") -> Obj:
    container: dict[str, Any] = {"name": "main", "image": image}
    if image.startswith("busybox"):
        container["command"] = ["sleep", "infinity"]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default", "labels": labels or {}},
        "spec": {"terminationGracePeriodSeconds": 0, "containers": [container]},
    }


class Watcher:
    """When each Pod was first seen Ready, on the monotonic clock."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self.ready_s: dict[str, float] = {}
        self.pods: dict[str, Obj] = {}
        self._changed = asyncio.Condition()

    async def run(self) -> None:
        async for event in self._client.watch(PODS, "default"):
            name = name_of(event.object)
            if event.type == "DELETED":
                self.ready_s.pop(name, None)
                self.pods.pop(name, None)
            else:
                self.pods[name] = event.object
                if condition_is_true(event.object, "Ready"):
                    self.ready_s.setdefault(name, time.monotonic())
            async with self._changed:
                self._changed.notify_all()

    async def ready(self, *names: str) -> None:
        async with self._changed, asyncio.timeout(120):
            await self._changed.wait_for(lambda: all(name in self.ready_s for name in names))

    async def gone(self, *names: str) -> None:
        async with self._changed, asyncio.timeout(120):
            await self._changed.wait_for(lambda: not any(name in self.pods for name in names))


async def measure(node: Node, report: Report) -> None:
    async with connected(node) as client:
        watcher = Watcher(client)
        watching = asyncio.create_task(watcher.run())
        try:
            await _idle(node, client, watcher, report)
            await _one_by_one(client, watcher, report)
            await _at_once(client, watcher, report)
            took_ms = await first_packets(client, watcher)
            report.spread("Pod seen Ready to first packet by Service", took_ms, "goal p99 5")
            await _many_idle(node, client, watcher, report)
            own, _ = resident_mb([node.pid])
            report.add("RSS of the process when all these Pods have gone", own, "MB")
        finally:
            watching.cancel()


async def _one_by_one(client: Client, watcher: Watcher, report: Report) -> None:
    """One Pod at a time, from create to Ready and from delete to gone."""
    ready_ms, gone_ms = [], []
    for number in range(ONE_BY_ONE):
        name = f"single-{number}"
        manifest = pod(name)
        manifest["spec"]["terminationGracePeriodSeconds"] = 30
        manifest["spec"]["containers"][0]["command"] = OBEDIENT
        begun = time.monotonic()
        await client.create(PODS, manifest)
        await watcher.ready(name)
        ready_ms.append((watcher.ready_s[name] - begun) * 1000)
        await asyncio.sleep(0.03)
        begun = time.monotonic()
        await client.delete(PODS, name, namespace="default")
        await watcher.gone(name)
        gone_ms.append((time.monotonic() - begun) * 1000)
    report.spread("Pod create to Ready, one by one", ready_ms[3:], "goal 40 / 100")
    report.spread("Pod delete to gone, one by one", gone_ms[3:], "goal 50")


async def _at_once(client: Client, watcher: Watcher, report: Report) -> None:
    names = [f"burst-{number}" for number in range(AT_ONCE)]
    begun = time.monotonic()
    await asyncio.gather(*(client.create(PODS, pod(name)) for name in names))
    await watcher.ready(*names)
    report.spread(
        f"Pod create to Ready, {AT_ONCE} at once", [(watcher.ready_s[name] - begun) * 1000 for name in names]
    )
    for name in names:
        await client.delete(PODS, name, namespace="default", grace_period_s=0)
    await watcher.gone(*names)


async def first_packets(client: Client, watcher: Watcher) -> list[float]:
    """ms from seeing a Pod Ready to the first connection through its Service; its server listens before."""
    labels = {"app": "first"}
    service = await client.create(
        SERVICES,
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "first", "namespace": "default"},
            "spec": {"selector": labels, "ports": [{"port": 80}]},
        },
    )
    knocker = await Knocker.at(service["spec"]["clusterIP"], 80)
    took_ms = []
    for number in range(FIRST_PACKETS):
        name = f"first-{number}"
        fresh = pod(name, labels, image="nginx:1.29")
        fresh["spec"]["containers"][0]["readinessProbe"] = {"tcpSocket": {"port": 80}, "periodSeconds": 1}
        knocker.begin()
        await client.create(PODS, fresh)
        await watcher.ready(name)
        took_ms.append(max(0.0, await knocker.let_in_s() - watcher.ready_s[name]) * 1000)
        await client.delete(PODS, name, namespace="default", grace_period_s=0)
        await watcher.gone(name)
        await asyncio.sleep(0.05)
    await knocker.close()
    await client.delete(SERVICES, "first", namespace="default")
    return took_ms


async def _idle(node: Node, client: Client, watcher: Watcher, report: Report) -> None:
    names = [f"idle-{number}" for number in range(IDLE_PODS)]
    for name in names:
        await client.create(PODS, pod(name))
    await watcher.ready(*names)
    await asyncio.sleep(3)
    before_s = cpu_s(node.pid)
    await asyncio.sleep(IDLE_S)
    report.add(
        f"idle with {IDLE_PODS} Pods, CPU", (cpu_s(node.pid) - before_s) / IDLE_S * 100, "% of a core", "0.5"
    )
    rss, pss = resident_mb(tree_pids(node.pid, str(node.data)))
    own, _ = resident_mb([node.pid])
    report.add("the same, RSS of all processes", rss, "MB", "goal 80")
    report.add("the same, shared memory counted once", pss, "MB")
    report.add("the same, the cluster's process alone", own, "MB")
    for name in names:
        await client.delete(PODS, name, namespace="default", grace_period_s=0)
    await watcher.gone(*names)


async def _many_idle(node: Node, client: Client, watcher: Watcher, report: Report) -> None:
    _, before_mb = resident_mb(tree_pids(node.pid, str(node.data)))
    names = [f"many-{number}" for number in range(MANY_IDLE_PODS)]
    for start in range(0, len(names), AT_ONCE):
        batch = names[start : start + AT_ONCE]
        await asyncio.gather(*(client.create(PODS, pod(name)) for name in batch))
        await watcher.ready(*batch)
    await asyncio.sleep(5)
    before_s = cpu_s(node.pid)
    await asyncio.sleep(IDLE_S)
    share = (cpu_s(node.pid) - before_s) / IDLE_S * 100
    report.add(f"idle with {MANY_IDLE_PODS} Pods, CPU", share, "% of a core", "goal 0.5")
    _, after_mb = resident_mb(tree_pids(node.pid, str(node.data)))
    each_mb = (after_mb - before_mb) / MANY_IDLE_PODS
    report.add("the same, memory for each besides its containers'", each_mb, "MB", "goal 0.6")
    for name in names:
        await client.delete(PODS, name, namespace="default", grace_period_s=0)
    await watcher.gone(*names)
