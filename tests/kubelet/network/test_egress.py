"""Pods and the world outside: here another namespace that only the host can reach."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest

from harness.lab import Lab, Place
from sampan.kubelet.network import namespace
from sampan.kubelet.network.egress import EgressRelay, inside, rules

OUTSIDE = "198.51.100.2"

pytestmark = pytest.mark.root


def run(*argv: str) -> None:
    subprocess.run(argv, check=True, capture_output=True)


@pytest.fixture
async def outside(lab: Lab) -> AsyncIterator[Place]:
    """A neighbour of the host at 198.51.100.2 that has no route to Pods."""
    pin = lab.root / "outside"
    await asyncio.to_thread(namespace.create, pin)
    link = f"out{uuid4().hex[:8]}"
    enter = ("nsenter", f"--net={pin}", "ip")
    peer = f"p{link}"
    run("ip", "link", "add", link, "type", "veth", "peer", "name", peer)
    with pin.open("rb") as descriptor:
        path = f"/proc/{os.getpid()}/fd/{descriptor.fileno()}"
        run("ip", "link", "set", peer, "netns", path)
    run("ip", "addr", "add", "198.51.100.1/30", "dev", link)
    run("ip", "link", "set", link, "up")
    run(*enter, "addr", "add", f"{OUTSIDE}/30", "dev", peer)
    run(*enter, "link", "set", peer, "up")
    yield Place(lab, str(pin), OUTSIDE)
    run("ip", "link", "del", link)
    namespace.unpin(pin)


@pytest.fixture
async def relay(lab: Lab) -> AsyncIterator[EgressRelay]:
    made = EgressRelay(lab.node)
    await made.start()
    yield made
    await made.stop()


def test_rules_leave_the_cluster_alone(lab: Lab) -> None:
    text = rules(inside(lab.node), 7777)
    assert str(lab.family.cluster_cidr) in text
    assert "redirect to :7777" in text


async def test_pod_and_node_reach_the_world_as_the_host(lab: Lab, outside: Place, relay: EgressRelay) -> None:
    await outside.serve(80)
    pod = await lab.pod()
    for place in (pod, lab.inside):
        assert await place.ask(OUTSIDE, 80) == f"{OUTSIDE} 198.51.100.1"


async def test_without_relay_there_is_no_way_out(lab: Lab, outside: Place) -> None:
    await outside.serve(80)
    pod = await lab.pod()
    with pytest.raises(TimeoutError):
        await pod.ask(OUTSIDE, 80, timeout_s=0.3)


async def test_refused_outside_is_reset_at_the_pod(lab: Lab, outside: Place, relay: EgressRelay) -> None:
    pod = await lab.pod()
    with pytest.raises(ConnectionResetError):
        await pod.ask(OUTSIDE, 81)


async def test_inside_stays_direct(lab: Lab, relay: EgressRelay) -> None:
    one, two = await lab.pod(), await lab.pod()
    await one.serve(80)
    assert await two.ask(one.ip, 80) == f"{one.ip} {two.ip}"


async def test_relay_leads_nobody_to_the_hosts_loopback_or_to_itself(lab: Lab, relay: EgressRelay) -> None:
    assert relay._server is not None
    port = relay._server.sockets[0].getsockname()[1]
    pod = await lab.pod()
    for place, address in ((pod, lab.inside.ip), (lab.inside, "127.0.0.1"), (pod, "169.254.1.1")):
        with pytest.raises(ConnectionResetError):
            await place.ask(address, port)


async def test_big_answers_and_half_closed_connections(lab: Lab, outside: Place, relay: EgressRelay) -> None:
    """The client says that it is done; the server answers only then, and much."""
    size = 5_000_000

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked = await reader.read()
        writer.write(asked[::-1] + bytes(size))
        writer.close()

    listener = await outside.socket(socket.SOCK_STREAM)
    listener.bind((OUTSIDE, 82))
    server = await asyncio.start_server(answer, sock=listener)
    pod = await lab.pod()
    loop = asyncio.get_running_loop()
    with await pod.socket(socket.SOCK_STREAM) as sock:
        await loop.sock_connect(sock, (OUTSIDE, 82))
        await loop.sock_sendall(sock, b"abc")
        sock.shutdown(socket.SHUT_WR)
        got = b""
        async with asyncio.timeout(10):
            while part := await loop.sock_recv(sock, 1 << 16):
                got += part
    server.close()
    assert got == b"cba" + bytes(size)


async def test_stop_takes_the_rule_away(lab: Lab) -> None:
    relay = EgressRelay(lab.node)
    await relay.start()
    again = EgressRelay(lab.node)
    await again.start()
    await relay.stop()
    await again.stop()
    assert "sampan_egress" not in await lab.node.execute(("nft", "list", "tables"))
