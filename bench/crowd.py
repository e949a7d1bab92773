"""10,000 Services: made through the API, there while something else is measured, and gone again."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

from cluster import resident_mb
from report import Report

from harness.crowd import make_services, make_slices
from harness.node import Node
from sampan.api.resources import NAMESPACES
from sampan.client.client import Client

COUNT = 10_000
NAMESPACE = "crowd"
_SETTLE_S = 3.0


@contextlib.asynccontextmanager
async def crowd(node: Node, client: Client, report: Report) -> AsyncIterator[None]:
    """COUNT Services with a slice of two endpoints each, for the block; what they cost is reported."""
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
    await client.create(NAMESPACES, namespace)
    before_mb, _ = resident_mb([node.pid])
    begun = time.monotonic()
    await make_services(client, NAMESPACE, COUNT)
    report.add(f"{COUNT:,} Services created by the API", time.monotonic() - begun, "s")
    await make_slices(client, NAMESPACE, COUNT)
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
