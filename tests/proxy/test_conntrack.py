"""Many flows forgotten at once, in the kernel; single ones are seen in `test_known_bugs`."""

from __future__ import annotations

import asyncio
import socket

import pytest

from harness.lab import Lab
from sampan.proxy.conntrack import KernelConntrack
from sampan.proxy.frontends import Front
from sampan.proxy.rules import Flows

PORTS = range(5300, 5306)


async def flows(lab: Lab) -> set[tuple[str, int]]:
    """Address and port that UDP flows were sent to, as the kernel has them now."""
    found = set()
    for line in (await lab.node.execute(("cat", "/proc/net/nf_conntrack"))).splitlines():
        words = dict(word.split("=") for word in reversed(line.split()) if "=" in word)
        if " udp " in line:
            found.add((words["dst"], int(words["dport"])))
    return found


@pytest.mark.root
async def test_many_at_once_are_forgotten_and_the_others_stay(lab: Lab) -> None:
    loop = asyncio.get_running_loop()
    server, client = await lab.pod(), await lab.pod()
    conntrack = KernelConntrack(lab.node.socket, [4, 6] if len(server.ips) > 1 else [4])
    gone = list(PORTS)[:4]
    fronts = frozenset(Front(6 if ":" in ip else 4, ip, port) for ip in server.ips for port in gone)
    # Rules that ask for it make the kernel remember flows.
    async with lab.proxy():
        await conntrack.open()
        try:
            for ip in server.ips:
                with await client.socket(socket.SOCK_DGRAM, ip) as sock:
                    for port in PORTS:
                        await loop.sock_sendto(sock, b"?", (ip, port))
            assert {port for _, port in await flows(lab)} >= set(PORTS)
            await conntrack.forget(frozenset({Flows(12_345)}), fronts)
            left = {port for _, port in await flows(lab) if port in PORTS}
            assert left == set(PORTS) - set(gone)
        finally:
            conntrack.close()
