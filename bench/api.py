"""The API server over HTTPS, clients in processes of their own: GET, LIST, durable CREATE, watch fan-out."""

from __future__ import annotations

import asyncio
import multiprocessing
import statistics
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from cluster import connected
from report import Report

from harness.node import Node
from sampan.api.objects import Obj
from sampan.api.resources import CONFIG_MAPS, NAMESPACES, PODS
from sampan.client import kubeconfig
from sampan.client.client import Client
from sampan.client.https import HttpsTransport

CLIENTS = 50
SECONDS = 4.0
WATCHERS = 1000
EVENTS = 200


def payload(name: str) -> Obj:
    """About 2.4 KB, as upstream's measurements use."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": "default", "labels": {"app": "bench"}},
        "data": {f"key-{number}": "x" * 100 for number in range(20)},
    }


async def measure(node: Node, report: Report) -> None:
    config = node.data / "kubeconfig"
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        loop = asyncio.get_running_loop()
        for kind, goal in (("create", "goal 5,000"), ("get", "goal 10,000")):
            rate = await loop.run_in_executor(pool, hammer, config, kind)
            report.add(f"{kind.upper()}, {CLIENTS} clients", rate, "a second", goal)
    async with connected(node) as client:
        await _list(config, client, report)
        await _watch(node, client, report)


def hammer(config: Path, kind: str) -> float:
    """Requests a second that `CLIENTS` keep-alive connections get done."""
    return asyncio.run(_hammer(config, kind))


async def _hammer(config: Path, kind: str) -> float:
    client = Client(HttpsTransport.to(kubeconfig.access(config)))
    done = 0
    deadline = time.monotonic() + SECONDS

    async def one(number: int) -> None:
        nonlocal done
        while time.monotonic() < deadline:
            if kind == "create":
                await client.create(CONFIG_MAPS, payload(f"c-{number}-{done}"))
            else:
                await client.get(CONFIG_MAPS, "kube-root-ca.crt", "default")
            done += 1

    await asyncio.gather(*(one(number) for number in range(CLIENTS)))
    await client.close()
    return done / SECONDS


async def _list(config: Path, client: Client, report: Report) -> None:
    template = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"namespace": "bench", "annotations": {"note": "x" * 600}},
        "spec": {"schedulerName": "nobody", "containers": [{"name": "main", "image": "busybox"}]},
    }
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "bench"}}
    await client.create(NAMESPACES, namespace)
    await asyncio.sleep(0.5)
    gate = asyncio.Semaphore(50)

    async def create(number: int) -> None:
        async with gate:
            metadata = {**template["metadata"], "name": f"p{number}"}  # type: ignore[dict-item]
            await client.create(PODS, {**template, "metadata": metadata})

    await asyncio.gather(*(create(number) for number in range(5000)))
    transport = HttpsTransport.to(kubeconfig.access(config))
    took_ms = []
    for _ in range(9):
        begun = time.monotonic()
        answer = await transport.raw("GET", PODS.path("bench"))
        took_ms.append((time.monotonic() - begun) * 1000)
    await transport.close()
    what = f"LIST of 5,000 Pods, {len(answer) / 1e6:.0f} MB received"
    report.add(what, statistics.median(took_ms), "ms", "goal 30")
    await client.delete_collection(PODS, "bench")


async def _watch(node: Node, client: Client, report: Report) -> None:
    """`WATCHERS` watches of ConfigMaps, `EVENTS` changes: how many events a second reach all of them."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        loop = asyncio.get_running_loop()
        counting = loop.run_in_executor(pool, count_events, node.data / "kubeconfig")
        await asyncio.sleep(12)
        for number in range(EVENTS):
            await client.create(CONFIG_MAPS, payload(f"w-{number}"))
        rate = await counting
    report.add(f"events to {WATCHERS} watchers", rate, "a second", "goal 50,000")


def count_events(config: Path) -> float:
    return asyncio.run(_count_events(config))


async def _count_events(config: Path) -> float:
    transport = HttpsTransport.to(kubeconfig.access(config))
    client = Client(transport)
    listing = await client.list(CONFIG_MAPS, "default", params={"limit": "1"})
    revision = listing["metadata"]["resourceVersion"]
    seen = 0
    first_s = last_s = 0.0
    gate = asyncio.Semaphore(50)

    async def watch() -> None:
        nonlocal seen, first_s, last_s
        stream = client.watch(CONFIG_MAPS, "default", revision=revision)
        count = 0
        async for event in stream:
            if event.object["metadata"]["name"].startswith("w-"):
                first_s = first_s or time.monotonic()
                last_s = time.monotonic()
                seen += 1
                count += 1
                if count == EVENTS:
                    return

    tasks = []
    for _ in range(WATCHERS):
        async with gate:
            tasks.append(asyncio.create_task(watch()))
            await asyncio.sleep(0.004)
    async with asyncio.timeout(120):
        await asyncio.gather(*tasks)
    await client.close()
    return seen / (last_s - first_s)
