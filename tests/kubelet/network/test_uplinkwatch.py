"""What somebody breaks of the host's way into a cluster is mended."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from harness.lab import Lab
from sampan.kubelet.network import devices, hostnetworks, netlink, uplinkwatch
from sampan.kubelet.network.netlink import IPv4Interface, IPv4Network, Reply, Request
from sampan.kubelet.network.uplinkwatch import UplinkWatch, concerns

OURS, OTHER = 7, 8
OWN = IPv4Interface("10.0.0.1/8")


def told(request: Request, kind: int) -> Reply:
    return Reply(kind, 0, 0, request.body)


@pytest.mark.parametrize(
    ("make", "gone", "new"),
    [
        (lambda at: netlink.add_route(IPv4Network("10.0.0.0/8"), at), netlink.DEL_ROUTE, netlink.NEW_ROUTE),
        (lambda at: netlink.add_address(OWN, at), netlink.DEL_ADDRESS, netlink.NEW_ADDRESS),
        (devices.delete_link, devices.DEL_LINK, netlink.NEW_NEIGHBOUR),
        (devices.raise_link, devices.NEW_LINK, netlink.NEW_NEIGHBOUR),
    ],
    ids=["route", "address", "link", "link changed"],
)  # fmt: skip
def test_what_goes_with_our_link(make: Callable[[int], Request], gone: int, new: int) -> None:
    assert concerns([told(make(OTHER), gone), told(make(OURS), gone)], OURS)
    assert not concerns([told(make(OTHER), gone), told(make(OURS), new)], OURS)


def test_a_route_without_a_link_is_nobodys() -> None:
    route = netlink.add_route(IPv4Network("10.0.0.0/8"), kind=netlink.UNREACHABLE)
    assert not concerns([told(route, netlink.DEL_ROUTE)], OURS)
    assert netlink.link_of(told(devices.delete_link(OURS), devices.DEL_LINK)) == OURS


def ip(*words: str) -> None:
    subprocess.run(("ip", *words), check=True, capture_output=True)


@asynccontextmanager
async def watching(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[asyncio.Event]:
    monkeypatch.setattr(uplinkwatch, "_SETTLE_S", 0.0)
    mended = asyncio.Event()
    task = asyncio.create_task(UplinkWatch(lab.node.plan, lab.node.ensure, mended.set).run())
    await asyncio.sleep(0)
    try:
        yield mended
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.mark.root
@pytest.mark.parametrize("what", ["routes", "addresses", "down and up", "link"])
async def test_it_is_mended(lab: Lab, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    link = lab.node.plan.host_link
    pod = await lab.pod()
    await pod.serve(80)
    async with watching(lab, monkeypatch) as mended:
        match what:
            case "routes":
                ip("route", "flush", "dev", link)
                ip("-6", "route", "flush", "dev", link)
            case "addresses":
                ip("addr", "flush", "dev", link)
            case "down and up":
                ip("link", "set", link, "down")
                ip("link", "set", link, "up")
            case _:
                ip("link", "del", link)
        async with asyncio.timeout(30):
            while hostnetworks.missing(lab.node.plan):
                mended.clear()
                await mended.wait()
        for address in pod.ips:
            assert await lab.host.ask(address, 80, timeout_s=30)


@pytest.mark.root
async def test_a_link_that_is_down_is_left_alone(lab: Lab) -> None:
    ip("link", "set", lab.node.plan.host_link, "down")
    assert hostnetworks.missing(lab.node.plan) == ""
    ip("link", "set", lab.node.plan.host_link, "up")
    assert hostnetworks.missing(lab.node.plan)
