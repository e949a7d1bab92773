"""Very many Services at once, written as fast as the API server takes them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

from harness.churn import service, slice_of
from harness.node import Node
from sampan.api.objects import Obj
from sampan.api.resources import ENDPOINT_SLICES, SERVICES
from sampan.client import kubeconfig
from sampan.client.client import Client
from sampan.client.https import HttpsTransport

_AT_ONCE = 32


@contextlib.asynccontextmanager
async def connected(node: Node) -> AsyncIterator[Client]:
    client = Client(HttpsTransport.to(kubeconfig.access(node.data / "kubeconfig")))
    try:
        yield client
    finally:
        await client.close()


async def make_services(client: Client, namespace: str, count: int) -> None:
    """Of one port each, as most are."""
    await _each(count, lambda number: client.create(SERVICES, _one_port(service(namespace, f"s-{number}"))))


async def make_slices(client: Client, namespace: str, count: int) -> None:
    """Two endpoints for each Service, which are nobody's."""
    await _each(
        count,
        lambda number: client.create(
            ENDPOINT_SLICES,
            _one_port(slice_of(namespace, f"s-{number}", endpoints(number, "192.0.2", "192.0.3"))),
        ),
    )


def _one_port(obj: Obj) -> Obj:
    ports = obj.get("ports") or obj["spec"]["ports"]
    del ports[1:]
    return obj


def endpoints(number: int, *networks: str) -> list[Obj]:
    ready = {"ready": True, "serving": True, "terminating": False}
    return [
        {"addresses": [f"{network}.{number % 250 + 2}"], "nodeName": "elsewhere", "conditions": ready}
        for network in networks
    ]


async def _each(count: int, make: Callable[[int], Awaitable[object]]) -> None:
    numbers = iter(range(count))

    async def worker() -> None:
        for number in numbers:
            await make(number)

    await asyncio.gather(*(worker() for _ in range(_AT_ONCE)))
