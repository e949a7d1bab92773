"""What hardly anybody does to a cluster: a Service with 1,000 endpoints, 1,000 watchers of slices, and 10,000
Services made and deleted twice, to see whether the second time leaves more behind than the first.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import statistics
import subprocess
import time

from cluster import connected, cpu_s, resident_mb
from crowd import COUNT, crowd
from report import Report

from harness.churn import service, slice_of
from harness.node import Node, eventually
from sampan.api.objects import Obj, name_of
from sampan.api.resources import ENDPOINT_SLICES, SERVICES
from sampan.client.client import Client

ENDPOINTS, A_SLICE = 1000, 100
WATCHERS, CHANGES = 1000, 50


async def measure(node: Node, report: Report) -> None:
    async with connected(node) as client:
        await _thousand_endpoints(node, client, report)
        await _thousand_watchers(node, client, report)
        kept_mb = []
        for _ in range(2):
            async with crowd(node, client, Report()):
                begun = time.monotonic()
                listed = await asyncio.to_thread(node.kubectl, "get", "services", "-A", "--no-headers")
                took_s = time.monotonic() - begun
                assert listed.out.count("\n") >= COUNT
            kept_mb.append(resident_mb([node.pid])[0])
        report.add(f"`kubectl get services -A` of {COUNT:,}", took_s, "s")
        report.add("elements left when they have gone", len(_elements(node)), "")
        report.add("memory kept the second time beyond the first", kept_mb[1] - kept_mb[0], "MB")


async def _thousand_endpoints(node: Node, client: Client, report: Report) -> None:
    await client.create(SERVICES, service("default", "wide"))
    pieces = [_piece(number) for number in range(ENDPOINTS // A_SLICE)]
    await asyncio.gather(*(client.create(ENDPOINT_SLICES, piece) for piece in pieces))
    took_ms = []
    for number in range(CHANGES):
        address = f"198.51.100.{number + 1}"
        pieces[number % 10]["endpoints"][number] = {"addresses": [address]}
        patch = {"endpoints": pieces[number % 10]["endpoints"]}
        begun = time.monotonic()
        await client.patch(ENDPOINT_SLICES, name_of(pieces[number % 10]), patch, namespace="default")
        took_ms.append((time.monotonic() - begun) * 1000)
    await asyncio.to_thread(eventually, lambda: _changed(node) == 2 * CHANGES)
    report.spread(f"an endpoint of {ENDPOINTS:,} changed, PATCH answered", took_ms)
    for piece in pieces:
        await client.delete(ENDPOINT_SLICES, name_of(piece), namespace="default")
    await client.delete(SERVICES, "wide", namespace="default")


def _changed(node: Node) -> int:
    return sum(name == "ep4" and "198.51.100." in json.dumps(element) for name, element in _elements(node))


def _piece(number: int) -> Obj:
    addresses = [f"192.0.{2 + number}.{host}" for host in range(1, A_SLICE + 1)]
    piece = slice_of("default", "wide", [{"addresses": [address]} for address in addresses])
    piece["metadata"]["name"] = f"wide-{number}"
    return piece


async def _thousand_watchers(node: Node, client: Client, report: Report) -> None:
    """Each sees every change of one slice; all in this process, so their own work is in the figure, too."""
    await client.create(ENDPOINT_SLICES, slice_of("default", "watched", []))
    seen: asyncio.Queue[float] = asyncio.Queue()
    ready: asyncio.Queue[None] = asyncio.Queue()
    async with contextlib.AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(connected(node)) for _ in range(10)]
        tasks = [asyncio.create_task(_watch(clients[n % 10], ready, seen)) for n in range(WATCHERS)]
        for _ in range(WATCHERS):
            await ready.get()
        before_s, took_ms = cpu_s(node.pid), []
        for number in range(CHANGES):
            begun = time.monotonic()
            patch = {"endpoints": [{"addresses": [f"192.0.2.{number + 1}"]}]}
            await client.patch(ENDPOINT_SLICES, "watched", patch, namespace="default")
            moments = [await seen.get() for _ in range(WATCHERS)]
            took_ms.append((max(moments) - begun) * 1000)
        cpu_ms = (cpu_s(node.pid) - before_s) / CHANGES * 1000
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    await client.delete(ENDPOINT_SLICES, "watched", namespace="default")
    report.add(
        f"a slice changed: the last of {WATCHERS:,} watchers has seen it", statistics.median(took_ms), "ms"
    )
    report.add("the same, CPU of the node's process", cpu_ms, "ms")


async def _watch(client: Client, ready: asyncio.Queue[None], seen: asyncio.Queue[float]) -> None:
    params = {
        "sendInitialEvents": "true",
        "resourceVersionMatch": "NotOlderThan",
        "allowWatchBookmarks": "true",
    }
    stream = client.watch(ENDPOINT_SLICES, "default", field_selector="metadata.name=watched", params=params)
    async for event in stream:
        if event.type == "BOOKMARK":
            ready.put_nowait(None)
        elif event.type == "MODIFIED":
            seen.put_nowait(time.monotonic())


def _elements(node: Node) -> list[tuple[str, object]]:
    words = ["nsenter", f"--net={node.data}/run/node.net", "nft", "-j", "list", "table", "inet", "sampan"]
    listed = json.loads(subprocess.run(words, capture_output=True, check=True).stdout)["nftables"]
    sets = [each for entry in listed for kind, each in entry.items() if kind in ("set", "map")]
    return [(each["name"], element) for each in sets for element in each.get("elem", ())]
