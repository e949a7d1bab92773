"""The kernel's rules for 10,000 Services: loading them, changing one endpoint, and what a connection pays.

Real namespaces and the proxy as it runs on a node, fed by an API server in memory. A second node beside it
has the same Services in the layout of kube-proxy (`chains`).
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import socket
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from chains import ChainedService, change, ruleset
from connecting import latencies, server
from report import Report

from harness.lab import Lab, Place, endpoint, lab_in, service, slice_of
from sampan.api.objects import Obj
from sampan.api.resources import ENDPOINT_SLICES, SERVICES
from sampan.client.client import Client
from sampan.client.informers import Informers
from sampan.proxy.proxy import Proxy

COUNT = 10_000
FIRST = 20
"""Where the Services' addresses begin."""
MEASURED = 7_000
CHANGES = 200
CHAINED_CHANGES = 20
LOADS = 3
PORT = 8080


class TimedSocket(socket.socket):
    """Notes how long each `send` took: all that the kernel does for a transaction happens in it."""

    sends_s: asyncio.Queue[float]

    def send(self, data: bytes, flags: int = 0) -> int:  # type: ignore[override]
        begun = time.perf_counter()
        sent = super().send(data, flags)
        self.sends_s.put_nowait(time.perf_counter() - begun)
        return sent


class Running(NamedTuple):
    proxy: Proxy
    loaded_s: float
    """From an empty kernel and informers that know everything to the last element in place."""
    sends_s: asyncio.Queue[float]


def measure(report: Report) -> None:
    with tempfile.TemporaryDirectory(prefix="sampan-bench-", dir="/var/tmp") as work:
        asyncio.run(_measure(Path(work), report))


async def _measure(work: Path, report: Report) -> None:
    async with lab_in(work / "ours") as ours, lab_in(work / "theirs") as theirs:
        sides = [Side(lab, await lab.pod(), await lab.pod()) for lab in (ours, theirs)]
        ours.api.add(*_objects(sides[0]))
        loads_s = []
        for _ in range(LOADS - 1):
            async with _proxy(ours) as running:
                loads_s.append(running.loaded_s)
            await ours.node.execute(("nft", "delete", "table", "inet", "sampan"))
        async with _proxy(ours) as running:
            loads_s.append(running.loaded_s)
            report.add(f"{COUNT:,} Services x 2 endpoints from cold", min(loads_s), "s", "goal 0.3")
            await _changes(sides[0], running, report)
            chained_s = await _chained(sides[1], report)
            report.add("chains / ours, from cold", chained_s / min(loads_s), "")
            await _compare(sides, report)


class Side(NamedTuple):
    """One node with its Services, the Pod behind the one that is measured, and the Pod that asks."""

    lab: Lab
    server: Place
    client: Place

    def endpoints(self, number: int) -> list[tuple[str, int]]:
        """Addresses of the node's Pod range. The measured Service has the one that answers."""
        if number == MEASURED:
            return [(self.server.ip, PORT)]
        return [(self.lab.pod_ip(2 + (2 * number + n) % 250), PORT + number // 125) for n in (0, 1)]


def _objects(side: Side) -> Iterator[Obj]:
    for number in range(COUNT):
        yield service(f"s{number}", side.lab.vip(FIRST + number), {"port": 80, "protocol": "TCP"})
        yield _slice(number, side.endpoints(number))


def _slice(number: int, endpoints: Sequence[tuple[str, int]]) -> Obj:
    ports = [{"name": "", "port": endpoints[0][1], "protocol": "TCP"}]
    return slice_of(f"s{number}", ports, *(endpoint(address) for address, _ in endpoints))


@contextlib.asynccontextmanager
async def _proxy(lab: Lab) -> AsyncIterator[Running]:
    client = Client(lab.api)
    informers = Informers(client)
    sends_s: asyncio.Queue[float] = asyncio.Queue()

    async def timed(family: int, kind: int, proto: int) -> socket.socket:
        made = TimedSocket(fileno=(await lab.node.socket(family, kind, proto)).detach())
        made.sends_s = sends_s
        return made

    proxy = Proxy(client, informers, timed, lab.node.load_nft, lab.config())
    tasks = [asyncio.create_task(informers.run())]
    try:
        for resource in (SERVICES, ENDPOINT_SLICES):
            await informers.informer(resource).wait_synced()
        gc.collect()
        begun = time.perf_counter()
        tasks.append(asyncio.create_task(proxy.run()))
        await proxy.wait_synced()
        yield Running(proxy, time.perf_counter() - begun, sends_s)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _changes(side: Side, running: Running, report: Report) -> None:
    """One endpoint of a Service becomes another: what the kernel does, and all from the slice on."""
    while not running.sends_s.empty():
        running.sends_s.get_nowait()
    kernel_ms = []
    for number in range(CHANGES):
        old, kept = side.endpoints(number)
        fresh = (side.lab.pod_ip(253), old[1])
        side.lab.api.add(_slice(number, [fresh, kept]))
        kernel_ms.append(await running.sends_s.get() * 1000)
    report.spread(f"one endpoint changed at {COUNT:,} Services, kernel", kernel_ms, "goal 0.05")


async def _chained(side: Side, report: Report) -> float:
    """How long loading took, in seconds."""
    services = [ChainedService(f"s{n}", side.lab.vip(FIRST + n), 80, side.endpoints(n)) for n in range(COUNT)]
    cidr = str(side.lab.family.pod_cidr)
    text = ruleset(services, cidr)
    begun = time.perf_counter()
    await side.lab.node.load_nft(text)
    loaded_s = time.perf_counter() - begun
    report.add("the same as chains, by nft", loaded_s, "s")
    took_ms = []
    for old in services[:CHAINED_CHANGES]:
        fresh = old._replace(endpoints=[(side.lab.pod_ip(253), old.endpoints[0][1]), old.endpoints[1]])
        text = change(old, fresh, cidr)
        begun = time.perf_counter()
        await side.lab.node.load_nft(text)
        took_ms.append((time.perf_counter() - begun) * 1000)
    report.spread("one endpoint changed as chains, by nft", took_ms)
    return loaded_s


async def _compare(sides: Sequence[Side], report: Report) -> None:
    """connect() by the Service's address against the Pod's own, in turn, on both nodes."""
    for name, side in zip(("VIP / Pod IP", "VIP / Pod IP as chains"), sides, strict=True):
        targets = (side.server.ip, PORT), (side.lab.vip(FIRST + MEASURED), 80)
        with server(side.server.path, side.server.ip, PORT):
            direct, virtual = await asyncio.to_thread(latencies, side.client.path, *targets)
        report.add(f"connect by {name}, p50", virtual.p50_us / direct.p50_us, "", "goal 1.06")
        report.add(f"connect by {name}, p50 of VIP", virtual.p50_us, "µs")


if __name__ == "__main__":
    measure(Report())
