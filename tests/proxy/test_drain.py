from __future__ import annotations

import asyncio

import pytest

from sampan.api.objects import Obj
from sampan.proxy.drain import Drain

POD: Obj = {
    "metadata": {"name": "p"},
    "spec": {},
    "status": {"podIPs": [{"ip": "10.0.0.1"}, {"ip": "fd00::1"}]},
}


async def at_once() -> None:
    return


async def test_waits_for_the_last_of_the_pods_addresses() -> None:
    led = {"10.0.0.1", "fd00::1"}
    drain = Drain(lambda addresses: bool(addresses & led), at_once, at_once)
    waiting = asyncio.create_task(drain.wait(POD))
    for address in ("10.0.0.1", "fd00::1"):
        await asyncio.sleep(0.01)
        assert not waiting.done()
        led.discard(address)
        drain.announce()
    async with asyncio.timeout(1):
        await waiting


async def test_returns_at_once_for_whom_nothing_leads_to() -> None:
    drain = Drain(lambda addresses: False, at_once, at_once)
    async with asyncio.timeout(0.5):
        await drain.wait(POD)
    always = Drain(lambda addresses: True, at_once, at_once)
    async with asyncio.timeout(0.5):
        await always.wait({**POD, "spec": {"hostNetwork": True}})


async def test_waits_until_flows_are_forgotten_although_no_rule_leads_there_any_more() -> None:
    forgotten = asyncio.Event()

    async def forget() -> None:
        await forgotten.wait()

    drain = Drain(lambda addresses: False, forget, at_once)
    waiting = asyncio.create_task(drain.wait(POD))
    await asyncio.sleep(0.01)
    assert not waiting.done()
    drain.announce()
    forgotten.set()
    async with asyncio.timeout(1):
        await waiting


async def test_gives_up_after_a_while_in_which_it_was_awake(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = asyncio.get_running_loop()
    clock, stood_still_s = loop.time, 0.0
    monkeypatch.setattr(loop, "time", lambda: clock() + stood_still_s)
    drain = Drain(lambda addresses: True, at_once, at_once)
    waiting = asyncio.create_task(drain.wait(POD))
    for _ in range(3):
        await asyncio.sleep(0.01)
        stood_still_s += 10
    await asyncio.sleep(0.01)
    assert not waiting.done()
    async with asyncio.timeout(30):
        await waiting


async def test_packets_on_their_way_are_waited_for_only_after_a_change() -> None:
    settled = asyncio.Event()

    async def settle() -> None:
        await settled.wait()

    drain = Drain(lambda addresses: False, at_once, settle)
    async with asyncio.timeout(1):
        await drain.wait(POD)
    drain.announce()
    waiting = asyncio.create_task(drain.wait(POD))
    await asyncio.sleep(0.01)
    assert not waiting.done()
    settled.set()
    async with asyncio.timeout(1):
        await waiting
