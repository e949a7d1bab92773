"""10,000 Services: made through the API, there while something else is measured, and gone again."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable

from cluster import resident_mb
from report import Report

from harness.churn import service, slice_of
from harness.node import Node
from sampan.api.resources import ENDPOINT_SLICES, NAMESPACES, SERVICES
from sampan.client.client import Client

COUNT = 10_000
NAMESPACE = "crowd"
_AT_ONCE = 32
_SETTLE_S = 3.0


@contextlib.asynccontextmanager
async def crowd(node: Node, client: Client, report: Report) -> AsyncIterator[None]:
    """COUNT Services with a slice of two endpoints each, for the block; what they cost is reported."""
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
    await client.create(NAMESPACES, namespace)
    before_mb, _ = resident_mb([node.pid])
    begun = time.monotonic()
    await _each(lambda name: client.create(SERVICES, service(NAMESPACE, name)))
    report.add(f"{COUNT:,} Services created by the API", time.monotonic() - begun, "s")
    await _each(lambda name: client.create(ENDPOINT_SLICES, slice_of(NAMESPACE, name, _endpoints(name))))
    await asyncio.sleep(_SETTLE_S)
    after_mb, _ = resident_mb([node.pid])
    report.add(
        "memory for each with its slice, all parts", (after_mb - before_mb) * 1000 / COUNT, "kB", "goal 10"
    )
    try:
        yield
    finally:
        begun = time.monotonic()
        await client.delete(NAMESPACES, NAMESPACE)
        async for event in client.watch(NAMESPACES, field_selector=f"metadata.name={NAMESPACE}"):
            if event.type == "DELETED":
                break
        report.add("their namespace deleted, and they with it", time.monotonic() - begun, "s")
        await asyncio.sleep(_SETTLE_S)
        left_mb, _ = resident_mb([node.pid])
        report.add("what the process kept of their memory", (left_mb - before_mb) * 1000 / COUNT, "kB each")


async def _each(make: Callable[[str], Awaitable[object]]) -> None:
    names = iter([f"s-{number}" for number in range(COUNT)])

    async def worker() -> None:
        for name in names:
            await make(name)

    await asyncio.gather(*(worker() for _ in range(_AT_ONCE)))


def _endpoints(name: str) -> list[dict[str, object]]:
    number = int(name.removeprefix("s-"))
    ready = {"ready": True, "serving": True, "terminating": False}
    return [
        {"addresses": [f"192.0.{2 + n}.{number % 250 + 2}"], "nodeName": "elsewhere", "conditions": ready}
        for n in (0, 1)
    ]
