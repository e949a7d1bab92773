"""Pods' network without Services: what it takes to set one up, and to connect to a Pod of another node.

Two nodes on one machine, by plain routes and then by VXLAN, in both families; and in turn with each
connection across one to a Pod of the same node, so that all see the same machine.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from connecting import latencies, server
from report import Report

from harness.lab import Lab, lab_in
from harness.several import several
from sampan.kubelet.network import namespace

PODS = 100
PORT = 8080
ROUNDS = 3000


def measure(report: Report) -> None:
    asyncio.run(_measure(report))


async def _measure(report: Report) -> None:
    with tempfile.TemporaryDirectory(prefix="sampan-bench-", dir="/var/tmp") as place:
        for families, name in (((4,), "IPv4"), ((4, 6), "both families")):
            async with lab_in(Path(place, name), families=families) as lab:
                await _setups(lab, name, report)
        for overlay, name in ((False, "routes"), (True, "VXLAN")):
            async with several(Path(place, name), overlay=overlay) as nodes:
                labs = [await nodes.add() for _ in range(2)]
                await _connects(labs, name, report)


async def _setups(lab: Lab, name: str, report: Report) -> None:
    pins = [lab.root / f"made{number}" for number in range(PODS)]
    for pin in pins:
        await asyncio.to_thread(namespace.create, pin)
        lab.pods.append(pin)
    took_ms = []
    for number, pin in enumerate(pins):
        begun = time.perf_counter()
        await lab.network.attach(f"made-{number}", str(pin))
        took_ms.append((time.perf_counter() - begun) * 1000)
    report.spread(f"a Pod's network, {name}", took_ms)


async def _connects(labs: Sequence[Lab], name: str, report: Report) -> None:
    client, beside, far = await labs[0].pod(), await labs[0].pod(), await labs[1].pod()
    for row, family in enumerate(("IPv4", "IPv6")):
        near_ip, far_ip = beside.ips[row], far.ips[row]
        with server(beside.path, near_ip, PORT), server(far.path, far_ip, PORT):
            asked = (near_ip, PORT), (far_ip, PORT)
            near, across = await asyncio.to_thread(latencies, client.path, *asked, rounds=ROUNDS)
        report.add(f"connect across nodes by {name}, {family}, p50", across.p50_us, "µs")
        report.add(f"the same, p99 ({name}, {family})", across.p99_us, "µs")
        report.add(f"the same, to the own node's ({name}, {family})", near.p50_us, "µs")


if __name__ == "__main__":
    measure(Report())
