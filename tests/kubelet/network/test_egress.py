"""Pods and the world outside: here another namespace that only the host can reach."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import pytest

from harness.lab import Lab, Place
from sampan.kubelet.network import egress, icmp, icmprelay, namespace
from sampan.kubelet.network.contract import NetworkFault
from sampan.kubelet.network.egress import EgressRelay
from sampan.kubelet.network.icmp import KINDS

OUTSIDE, OUTSIDE6 = "198.51.100.2", "2001:db8:77::2"
HOST = {OUTSIDE: "198.51.100.1", OUTSIDE6: "2001:db8:77::1"}
BOTH = pytest.mark.parametrize("target", [OUTSIDE, OUTSIDE6], ids=["ipv4", "ipv6"])

pytestmark = pytest.mark.root


def run(*argv: str) -> None:
    subprocess.run(argv, check=True, capture_output=True)


@pytest.fixture
async def outside(lab: Lab) -> AsyncIterator[Place]:
    """A neighbour of the host that has no route to Pods."""
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
    run("ip", "addr", "add", "2001:db8:77::1/64", "dev", link, "nodad")
    run(*enter, "addr", "add", f"{OUTSIDE6}/64", "dev", peer, "nodad")
    yield Place(lab, str(pin), OUTSIDE, OUTSIDE6)
    run("ip", "link", "del", link)
    namespace.unpin(pin)


@pytest.fixture
async def relay(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[EgressRelay]:
    monkeypatch.setattr(egress, "has_default_route", lambda: True)
    made = EgressRelay(lab.node)
    await made.start()
    yield made
    await made.stop()


async def ask_by_udp(place: Place, target: str, port: int, times: int = 1) -> list[str]:
    """The answers to so many datagrams of one socket, sent one after the other."""
    loop = asyncio.get_running_loop()
    with await place.socket(socket.SOCK_DGRAM, target) as sock:
        await loop.sock_connect(sock, (target, port))
        answers = []
        for _ in range(times):
            await loop.sock_sendall(sock, b"?")
            async with asyncio.timeout(30):
                answers.append((await loop.sock_recv(sock, 100)).decode())
        return answers


@BOTH
async def test_pod_and_node_reach_the_world_as_the_host(
    lab: Lab, outside: Place, relay: EgressRelay, target: str
) -> None:
    await outside.serve(80)
    pod = await lab.pod()
    for place in (pod, lab.inside):
        assert await place.ask(target, 80) == f"{target} {HOST[target]}"


@BOTH
async def test_datagrams_go_there_and_back(lab: Lab, outside: Place, relay: EgressRelay, target: str) -> None:
    """The answer comes from whom was asked: a connected socket takes no other."""
    await outside.serve(80)
    one, two = await lab.pod(), await lab.pod()
    for place in (one, two, lab.inside):
        assert await ask_by_udp(place, target, 80, times=3) == [f"{target} {HOST[target]}"] * 3


async def test_what_is_not_relayed_is_refused(lab: Lab, outside: Place, relay: EgressRelay) -> None:
    timestamp = b"\x0d\0\xf2\xfe\0\x01\0\0" + bytes(12)
    for place in (await lab.pod(), lab.inside):
        sock = await _raw_socket(lab, place, OUTSIDE)
        sock.setsockopt(socket.SOL_IP, 11, 1)  # IP_RECVERR
        with sock, pytest.raises(OSError, match=r"Errno (1|113)\]"):
            await _exchange(sock, timestamp)


@BOTH
async def test_pings_go_there_and_back(lab: Lab, outside: Place, relay: EgressRelay, target: str) -> None:
    """Once each: the kernel, which is led to take them for its own, must not answer as well."""
    version = 6 if ":" in target else 4
    for place in (await lab.pod(), lab.inside):
        with await _raw_socket(lab, place, target) as sock:
            for number, size in enumerate((8, 1400, 3000)):
                rest = struct.pack(">H", number) + b"?" * size
                heard = await _exchange(sock, icmp.request(version, 4711, rest))
                assert heard == icmp.Echo(KINDS[version].reply, 4711, rest)


@BOTH
async def test_who_may_go_no_further_is_told_by_the_node(
    lab: Lab, outside: Place, relay: EgressRelay, target: str
) -> None:
    version = 6 if ":" in target else 4
    level, option = (socket.SOL_IP, socket.IP_TTL) if version == 4 else (socket.IPPROTO_IPV6, 16)
    with await _raw_socket(lab, await lab.pod(), target, connected=False) as sock:
        sock.setsockopt(level, option, 1)
        heard = await _exchange(sock, icmp.request(version, 4711, b"\0\0"), target)
        assert isinstance(heard, icmp.Trouble)
        assert (heard.kind, heard.ident) == (KINDS[version].time_exceeded, 4711)
        sock.setsockopt(level, option, 2)
        heard = await _exchange(sock, icmp.request(version, 4711, b"\0\0"), target)
        assert isinstance(heard, icmp.Echo), "the far end is the next"


@BOTH
async def test_a_router_that_knows_no_way_is_heard(
    lab: Lab, outside: Place, relay: EgressRelay, target: str
) -> None:
    version = 6 if ":" in target else 4
    nowhere, ip = ("198.18.99.1", ("ip",)) if version == 4 else ("2001:db8:99::1", ("ip", "-6"))
    name = "ipv4/ip_forward" if version == 4 else "ipv6/conf/all/forwarding"
    await lab.node.traveller.run(outside.path, lambda: Path("/proc/sys/net", name).write_text("1"))
    run("nsenter", f"--net={outside.path}", *ip, "route", "add", "unreachable", nowhere)
    run(*ip, "route", "add", nowhere, "via", target)  # gone with the link
    with await _raw_socket(lab, await lab.pod(), nowhere, connected=False) as sock:
        heard = await _exchange(sock, icmp.request(version, 4711, b"\0\0"), nowhere)
        assert isinstance(heard, icmp.Trouble)
        assert (heard.kind, heard.ident) == (KINDS[version].unreachable, 4711)


@BOTH
async def test_datagrams_that_nobody_takes_are_refused_as_they_are_outside(
    lab: Lab, outside: Place, relay: EgressRelay, target: str
) -> None:
    with pytest.raises(ConnectionRefusedError):
        await ask_by_udp(await lab.pod(), target, 81)


async def _raw_socket(lab: Lab, place: Place, target: str, connected: bool = True) -> socket.socket:
    version = 6 if ":" in target else 4
    family = socket.AF_INET6 if version == 6 else socket.AF_INET
    kinds = KINDS[version]

    def make() -> socket.socket:
        sock = socket.socket(family, socket.SOCK_RAW | socket.SOCK_NONBLOCK, kinds.protocol)
        icmprelay.listen_for(sock, version, (kinds.reply, *kinds.troubles))
        if connected:
            sock.connect((target, 0))
        return sock

    return await lab.node.traveller.run(place.path, make)


async def _exchange(sock: socket.socket, message: bytes, to: str = "") -> icmp.Echo | icmp.Trouble | None:
    """What comes back."""
    loop = asyncio.get_running_loop()
    if to:
        await loop.sock_sendto(sock, message, (to, 0))
    else:
        await loop.sock_sendall(sock, message)
    async with asyncio.timeout(30):
        heard = await loop.sock_recv(sock, 5000)
    version = 6 if sock.family == socket.AF_INET6 else 4
    return icmp.read(version, heard[icmp.header_length(heard) :] if version == 4 else heard)


async def test_a_kernel_without_tproxy_has_tcp_left(
    lab: Lab, outside: Place, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    load = lab.node.load_nft

    async def refuse_tproxy(ruleset: str) -> None:
        if "tproxy" in ruleset:
            raise NetworkFault("nft -f -: Could not process rule: No such file or directory")
        await load(ruleset)

    monkeypatch.setattr(lab.node, "load_nft", refuse_tproxy)
    await outside.serve(80)
    relay = EgressRelay(lab.node)
    await relay.start()
    pod = await lab.pod()
    assert await pod.ask(OUTSIDE, 80)
    with pytest.raises(OSError, match=r"Errno 1(11|13)\]"):
        await ask_by_udp(pod, OUTSIDE, 80)
    assert "no UDP leaves the cluster" in caplog.text
    await relay.stop()


async def test_family_without_a_way_out_is_refused_at_once(
    lab: Lab, outside: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who has both addresses of a place tries the other one then."""
    monkeypatch.setattr(egress, "has_default_route", lambda: False)
    await outside.serve(80)
    relay = EgressRelay(lab.node)
    await relay.start()
    pod = await lab.pod()
    with pytest.raises(OSError, match="Errno 101"):
        await pod.ask(OUTSIDE6, 80)
    assert await pod.ask(OUTSIDE, 80)
    monkeypatch.setattr(egress, "has_default_route", lambda: True)
    # Any change of the host's IPv6 routes is news.
    route = ("unreachable", f"2001:db8:{uuid4().hex[:4]}::/64")
    run("ip", "-6", "route", "add", *route)
    try:
        for _ in range(200):
            try:
                assert await pod.ask(OUTSIDE6, 80)
                break
            except OSError:
                await asyncio.sleep(0.05)
        else:
            raise AssertionError("the way out stays shut")
    finally:
        run("ip", "-6", "route", "del", *route)
        await relay.stop()


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
    port = relay._servers[0].sockets[0].getsockname()[1]
    pod = await lab.pod()
    for place in (pod, lab.inside):
        with pytest.raises(ConnectionResetError):
            await place.ask(lab.inside.ip, port)


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
        async with asyncio.timeout(30):
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
    await again.stop()
    assert "sampan_egress" not in await lab.node.execute(("nft", "list", "tables"))
