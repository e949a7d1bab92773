"""Several nodes on one machine: on a LAN of their own, with one leg for the host."""

from __future__ import annotations

import contextlib
import socket
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import pytest

from sampan.kubelet.network import namespace
from sampan.kubelet.network.contract import NetworkFault
from sampan.kubelet.network.node import NodeNamespace, ensure_node
from sampan.kubelet.network.veth import VethNetwork

pytestmark = pytest.mark.root


def run(*argv: str) -> str:
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout


class Nodes:
    def __init__(self, root: Path) -> None:
        self.name, self.root = f"test-{uuid4().hex[:8]}", root
        self.lan = root / "lan"
        self.up: dict[int, NodeNamespace] = {}

    async def ensure(self, number: int, *, alone: bool = False) -> NodeNamespace:
        if number in self.up:
            self.up[number].close()
        node = await ensure_node(
            self.name,
            self.root / f"node{number}",
            self.root / "network.json",
            number=number,
            lan=None if alone else self.lan,
        )
        self.up[number] = node
        return node

    async def remove(self, number: int) -> None:
        node = self.up.pop(number)
        await node.remove()
        node.close()


@pytest.fixture
async def nodes(tmp_path: Path) -> AsyncIterator[Nodes]:
    made = Nodes(tmp_path)
    yield made
    for number in sorted(made.up, reverse=True):
        await made.remove(number)
    assert not namespace.is_pinned(made.lan)
    shown = run("ip", "-o", "link")
    assert f"alias sampan {made.name}" not in shown


async def reach(address: str, origin: NodeNamespace | None = None) -> None:
    """A refused connection has been there and back.

    Nodes know each other's MACs by `NodeRoutes`, which does not run here: they ask, and perhaps twice.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    sock = await origin.socket(family, socket.SOCK_STREAM) if origin else socket.socket(family)
    with sock:
        sock.setblocking(True)
        sock.settimeout(10)
        with contextlib.suppress(ConnectionRefusedError):
            sock.connect((address, 9))


async def test_nodes_and_the_host_reach_each_other(nodes: Nodes) -> None:
    made = [await nodes.ensure(number) for number in range(3)]
    for node in made:
        for ip in node.plan.node_ips:
            await reach(ip)
            for other in made:
                await reach(ip, other)


async def test_ensure_again_changes_nothing(nodes: Nodes) -> None:
    for number in (0, 1):
        await nodes.ensure(number)

    async def indexes() -> list[str]:
        return [await node.execute(("ip", "-o", "link")) for node in nodes.up.values()]

    before = await indexes()
    for number in (1, 0):
        await nodes.ensure(number)
    assert await indexes() == before


async def test_a_lone_node_gets_neighbours_and_loses_them(nodes: Nodes) -> None:
    first = await nodes.ensure(0, alone=True)
    inode = first.plan.pin.stat().st_ino
    first = await nodes.ensure(0)
    assert first.plan.pin.stat().st_ino == inode
    second = await nodes.ensure(1)
    for ip in first.plan.node_ips:
        await reach(ip)
        await reach(ip, second)
    await nodes.remove(1)
    first = await nodes.ensure(0)
    for ip in first.plan.node_ips:
        await reach(ip)
    first = await nodes.ensure(0, alone=True)
    for ip in first.plan.node_ips:
        await reach(ip)
    namespace.unpin(nodes.lan)


async def test_pods_keep_their_routes_when_the_uplink_is_laid_anew(nodes: Nodes) -> None:
    first = await nodes.ensure(0, alone=True)
    pods = VethNetwork(first, nodes.root / "addresses")
    await pods.open()
    namespace.create(nodes.root / "pod")
    try:
        ips = (await pods.attach("uid", str(nodes.root / "pod"))).ips
        for alone in (False, True):
            first = await nodes.ensure(0, alone=alone)
            for ip, source in zip(ips, first.plan.node_ips, strict=True):
                route = await first.execute(("ip", "route", "get", ip))
                assert f"src {source}" in route
                await reach(ip, first)
                await reach(ip)
    finally:
        pods.close()
        namespace.unpin(nodes.root / "pod")
        namespace.unpin(nodes.lan)


async def test_a_further_node_needs_the_first(nodes: Nodes) -> None:
    with pytest.raises(NetworkFault, match="first node"):
        await nodes.ensure(1)
    namespace.unpin(nodes.root / "node1")


async def test_what_is_missing_is_mended(nodes: Nodes) -> None:
    first, second = [await nodes.ensure(number) for number in (0, 1)]
    run("ip", "link", "del", first.plan.host_link)
    await second.execute(("ip", "link", "del", "uplink"))
    first, second = [await nodes.ensure(number) for number in (0, 1)]
    for ip in second.plan.node_ips:
        await reach(ip)
        await reach(ip, first)
