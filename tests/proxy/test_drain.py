from __future__ import annotations

import asyncio

from sampan.api.objects import Obj
from sampan.proxy.drain import Drain

POD: Obj = {
    "metadata": {"name": "p"},
    "spec": {},
    "status": {"podIPs": [{"ip": "10.0.0.1"}, {"ip": "fd00::1"}]},
}


async def test_waits_for_the_last_of_the_pods_addresses() -> None:
    led = {"10.0.0.1", "fd00::1"}
    drain = Drain(lambda addresses: bool(addresses & led))
    waiting = asyncio.create_task(drain.wait(POD))
    for address in ("10.0.0.1", "fd00::1"):
        await asyncio.sleep(0.01)
        assert not waiting.done()
        led.discard(address)
        drain.announce()
    async with asyncio.timeout(1):
        await waiting


async def test_returns_at_once_for_whom_nothing_leads_to() -> None:
    drain = Drain(lambda addresses: False)
    async with asyncio.timeout(0.5):
        await drain.wait(POD)
    always = Drain(lambda addresses: True)
    async with asyncio.timeout(0.5):
        await always.wait({**POD, "spec": {"hostNetwork": True}})
