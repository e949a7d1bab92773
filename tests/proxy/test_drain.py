from __future__ import annotations

import asyncio

from sampan.api.objects import Obj
from sampan.proxy.drain import SETTLE_S, Drain

POD: Obj = {
    "metadata": {"name": "p"},
    "spec": {},
    "status": {"podIPs": [{"ip": "10.0.0.1"}, {"ip": "fd00::1"}]},
}


async def nothing_to_forget() -> None:
    return


async def test_waits_for_the_last_of_the_pods_addresses() -> None:
    led = {"10.0.0.1", "fd00::1"}
    drain = Drain(lambda addresses: bool(addresses & led), nothing_to_forget)
    waiting = asyncio.create_task(drain.wait(POD))
    for address in ("10.0.0.1", "fd00::1"):
        await asyncio.sleep(0.01)
        assert not waiting.done()
        led.discard(address)
        drain.announce()
    async with asyncio.timeout(1):
        await waiting


async def test_returns_at_once_for_whom_nothing_leads_to() -> None:
    drain = Drain(lambda addresses: False, nothing_to_forget)
    async with asyncio.timeout(0.5):
        await drain.wait(POD)
    always = Drain(lambda addresses: True, nothing_to_forget)
    async with asyncio.timeout(0.5):
        await always.wait({**POD, "spec": {"hostNetwork": True}})


async def test_waits_until_flows_are_forgotten_although_no_rule_leads_there_any_more() -> None:
    forgotten = asyncio.Event()

    async def forget() -> None:
        await forgotten.wait()

    drain = Drain(lambda addresses: False, forget)
    waiting = asyncio.create_task(drain.wait(POD))
    await asyncio.sleep(0.01)
    assert not waiting.done()
    begun_s = asyncio.get_running_loop().time()
    drain.announce()
    forgotten.set()
    async with asyncio.timeout(1):
        await waiting
    assert asyncio.get_running_loop().time() - begun_s >= SETTLE_S * 0.9
