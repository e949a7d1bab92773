"""Exec: from the request to the exit code, alone and many at once; and what a probe by exec costs."""

from __future__ import annotations

import asyncio
import ssl
import tempfile
import time
from pathlib import Path

from cluster import connected, cpu_s
from pods import Watcher, pod
from report import Report

from harness.node import Node
from sampan.api.resources import PODS
from sampan.client import kubeconfig
from sampan.client.client import Client

ROUND_TRIPS = 100
AT_ONCE = 200
PROBED = 20
PROBE_S = 10.0
MASK = bytes(4)


class Session:
    """One exec over WebSocket, no more than its frames."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def open(cls, address: tuple[str, int], tls: ssl.SSLContext, name: str, command: str) -> Session:
        reader, writer = await asyncio.open_connection(*address, ssl=tls)
        words = "".join(f"&command={word}" for word in command.split())
        path = f"/api/v1/namespaces/default/pods/{name}/exec?stdin=true&stdout=true{words}"
        writer.write(
            f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            "Sec-WebSocket-Protocol: v5.channel.k8s.io\r\n\r\n".encode()
        )
        head = await reader.readuntil(b"\r\n\r\n")
        assert b" 101 " in head, head
        return cls(reader, writer)

    def send(self, data: bytes) -> None:
        self._writer.write(bytes((0x82, 0x80 | len(data))) + MASK + data)

    async def receive(self) -> bytes:
        _, size = await self._reader.readexactly(2)
        if size == 126:
            size = int.from_bytes(await self._reader.readexactly(2), "big")
        return await self._reader.readexactly(size)

    async def until(self, channel: int) -> bytes:
        """What comes next on a channel, but not the empty greeting."""
        while (message := await self.receive())[0] != channel or len(message) == 1:
            continue
        return message[1:]

    def close(self) -> None:
        self._writer.transport.abort()


async def measure(node: Node, report: Report) -> None:
    access = kubeconfig.access(node.data / "kubeconfig")
    tls = ssl.create_default_context(cadata=access.ca.decode())
    with tempfile.NamedTemporaryFile() as pem:
        pem.write(access.client_cert + b"\n" + access.client_key)
        pem.flush()
        tls.load_cert_chain(pem.name)
    host, _, port = access.server.removeprefix("https://").rpartition(":")
    address = (host, int(port))
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
