"""Exec: from the request to the exit code, alone and many at once; and what a probe by exec costs."""

from __future__ import annotations

import asyncio
import ssl
import time
from pathlib import Path

from cluster import connected, cpu_s
from pods import Watcher, pod
from report import Report

from harness.execsession import Session, way_to
from harness.node import Node
from sampan.api.resources import PODS
from sampan.client.client import Client

ROUND_TRIPS = 100
AT_ONCE = 200
PROBED = 20
PROBE_S = 10.0


async def measure(node: Node, report: Report) -> None:
    address, tls = way_to(node)
    async with connected(node) as client:
        watcher = Watcher(client)
        watching = asyncio.create_task(watcher.run())
        try:
            await client.create(PODS, pod("exec"))
            await watcher.ready("exec")
            await _round_trips(address, tls, report)
            await _at_once(address, tls, report)
            await _probed(node, client, watcher, report)
        finally:
            watching.cancel()


async def _round_trips(address: tuple[str, int], tls: ssl.SSLContext, report: Report) -> None:
    took_ms = []
    for _ in range(ROUND_TRIPS):
        begun = time.monotonic()
        session = await Session.open(address, tls, "exec", "true")
        assert b"Success" in await session.until(3)
        took_ms.append((time.monotonic() - begun) * 1000)
        session.close()
    report.spread("exec of `true`, new TLS connection included", took_ms[3:], "goal 25")


async def _at_once(address: tuple[str, int], tls: ssl.SSLContext, report: Report) -> None:
    begun = time.monotonic()
    sessions = await asyncio.gather(*(Session.open(address, tls, "exec", "cat") for _ in range(AT_ONCE)))
    echoes = asyncio.gather(*(session.until(1) for session in sessions))
    for session in sessions:
        session.send(b"\x00hello")
    assert set(await echoes) == {b"hello"}
    report.add(f"{AT_ONCE} sessions with `cat` opened, each has echoed", time.monotonic() - begun, "s")
    took_ms = []
    for session in sessions:
        sent = time.monotonic()
        session.send(b"\x00again")
        await session.until(1)
        took_ms.append((time.monotonic() - sent) * 1000)
    report.spread("a keystroke's echo while they are open", took_ms)
    for session in sessions:
        session.close()


async def _probed(node: Node, client: Client, watcher: Watcher, report: Report) -> None:
    """What the node's process itself spends; crun and the command come on top, on whatever core is free."""
    names = [f"probed-{number}" for number in range(PROBED)]
    for name in names:
        fresh = pod(name)
        probe = {"exec": {"command": ["true"]}, "periodSeconds": 1}
        fresh["spec"]["containers"][0]["livenessProbe"] = probe
        await client.create(PODS, fresh)
    await watcher.ready(*names)
    await asyncio.sleep(2)
    before_s, children_s = cpu_s(node.pid), _children_cpu_s(node.pid)
    await asyncio.sleep(PROBE_S)
    probes = PROBED * PROBE_S
    own_s, others_s = cpu_s(node.pid) - before_s, _children_cpu_s(node.pid) - children_s
    report.add("one exec probe, CPU of the node's process", own_s / probes * 1000, "ms")
    report.add("the same, CPU of crun and the command", others_s / probes * 1000, "ms")
    for name in names:
        await client.delete(PODS, name, namespace="default", grace_period_s=0)
    await watcher.gone(*names)


def _children_cpu_s(pid: int) -> float:
    """Of children that have ended and were waited for."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[13]) + int(fields[14])) / 100
