from __future__ import annotations

import asyncio
import socket
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import pytest

from sampan.kubelet.network import namespace
from sampan.kubelet.network.contract import NetworkFault
from sampan.kubelet.network.node import NodeNamespace, choose_plan, ensure_node
from sampan.kubelet.network.plan import node_plan
from sampan.kubelet.network.uplink import IndexTaken

pytestmark = pytest.mark.root


def run(*argv: str) -> str:
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[NodeNamespace]:
    made = await ensure_node(f"test-{uuid4().hex[:8]}", tmp_path / "node", tmp_path / "network.json")
    yield made
    await made.remove()
    made.close()


def reach(address: str) -> None:
    """A refused connection has been there and back."""
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((address, 9), timeout=5)


def traces(node: NodeNamespace) -> list[str]:
    """What is left of the node anywhere on the machine."""
    shown = [
        # By its owner: another test may have taken the index over, and with it the name and the routes.
        (run("ip", "-o", "link"), f"alias {node.plan.owner}"),
        (Path("/proc/self/mounts").read_text(), str(node.plan.pin)),
    ]
    found = [line for text, mark in shown for line in text.splitlines() if mark in line]
    return found + [str(path) for path in [node.plan.pin] if path.exists()]


async def test_host_and_node_reach_each_other(node: NodeNamespace) -> None:
    for family in node.plan.families:
        reach(str(family.node.ip))
        reach(str(family.dns))
        assert f"{family.dns}/" in await node.execute(("ip", "addr", "show", "lo"))
        routes = await node.execute(("ip", f"-{family.version}", "route"))
        assert f"default via {family.host.ip}" in routes
    with pytest.raises(NetworkFault, match="ls: cannot"):
        await node.execute(("ls", "/no/such/file"))


async def test_ensure_again_changes_nothing(node: NodeNamespace) -> None:
    links, inode = run("ip", "-o", "link", "show", node.plan.host_link), node.plan.pin.stat().st_ino
    again = NodeNamespace(node.plan)
    await again.ensure()
    again.close()
    assert run("ip", "-o", "link", "show", node.plan.host_link) == links
    assert node.plan.pin.stat().st_ino == inode


async def test_ensure_mends_what_is_missing(node: NodeNamespace) -> None:
    family = node.plan.families[0]
    run("ip", "route", "del", str(family.service_cidr))
    await node.execute(("ip", "route", "del", "default"))
    await node.ensure()
    reach(str(family.dns))
    run("ip", "link", "del", node.plan.host_link)
    await node.ensure()
    reach(str(family.dns))


async def test_remove_leaves_nothing(node: NodeNamespace) -> None:
    assert traces(node)
    await node.remove()
    assert traces(node) == []
    await node.remove()


async def test_remove_of_half_a_node(node: NodeNamespace) -> None:
    namespace.unpin(node.plan.pin)
    await node.remove()
    assert traces(node) == []
    await asyncio.to_thread(namespace.create, node.plan.pin)
    await node.remove()
    assert traces(node) == []


async def test_route_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    plan = choose_plan("rival", tmp_path / "rival", tmp_path / "rival.json")
    route = ("blackhole", str(plan.families[0].service_cidr))
    run("ip", "route", "add", *route)
    node = NodeNamespace(plan)
    try:
        with pytest.raises(IndexTaken, match="already routes"):
            await node.ensure()
    finally:
        await node.remove()
        node.close()
        assert route[1] in run("ip", "route")
        run("ip", "route", "del", *route)
    assert traces(node) == []


async def test_index_of_another_cluster_is_left_alone(node: NodeNamespace, tmp_path: Path) -> None:
    rival = NodeNamespace(node_plan(node.plan.index, "rival", tmp_path / "rival"))
    with pytest.raises(IndexTaken, match="belongs to"):
        await rival.ensure()
    await rival.remove()
    rival.close()
    assert run("ip", "link", "show", node.plan.host_link)
    other = choose_plan("rival", tmp_path / "rival", tmp_path / "rival.json")
    assert other.index != node.plan.index
    assert choose_plan("rival", tmp_path / "rival", tmp_path / "rival.json").index == other.index


async def test_plan_in_a_torn_file_is_read_off_the_uplink(node: NodeNamespace, tmp_path: Path) -> None:
    memory = tmp_path / "network.json"
    memory.write_text("{")
    for _ in range(2):
        assert choose_plan(node.plan.name, node.plan.pin, memory, families=(4, 6)) == node.plan
    memory.write_text("{")
    with pytest.raises(NetworkFault, match=r"network.json cannot be read"):
        choose_plan("nobody", node.plan.pin, memory)
