from __future__ import annotations

import asyncio
from collections.abc import Sequence

from sampan.api.objects import Obj
from sampan.api.resources import SERVICE_CIDRS
from sampan.client.client import Client
from sampan.client.fake import FakeTransport
from sampan.client.informers import Informers
from sampan.proxy.guard import Guard


def ranges(name: str, *cidrs: str) -> Obj:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "ServiceCIDR",
        "metadata": {"name": name},
        "spec": {"cidrs": [*cidrs]},
    }


async def test_ranges_that_come_later_are_guarded_as_long_as_they_are_there() -> None:
    api = FakeTransport(ranges("kubernetes", "10.96.0.0/16"))
    informers = Informers(Client(api))
    told: list[Sequence[str]] = []
    changed = asyncio.Event()

    async def program(more: Sequence[str]) -> None:
        told.append(tuple(more))

    guard = Guard(informers.informer(SERVICE_CIDRS), ("10.96.0.0/16",), program, changed.set)
    guard.watch()
    tasks = [asyncio.create_task(informers.run()), asyncio.create_task(guard.run())]

    async def next_change() -> tuple[str, ...]:
        async with asyncio.timeout(30):
            await changed.wait()
        changed.clear()
        return guard.ranges

    try:
        await informers.wait_synced()
        api.add(ranges("more", "10.97.0.0/24", "fd00:97::/112"))
        assert await next_change() == ("10.96.0.0/16", "10.97.0.0/24", "fd00:97::/112")
        api.remove(SERVICE_CIDRS, "more", "")
        assert await next_change() == ("10.96.0.0/16",)
        assert told == [("10.97.0.0/24", "fd00:97::/112"), ()]
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
