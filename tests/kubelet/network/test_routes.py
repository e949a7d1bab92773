"""Pods of different nodes, by routes and by VXLAN."""

from __future__ import annotations

import asyncio
import dataclasses
from pathlib import Path

import pytest

from harness.lab import Lab, Place
from harness.several import end, node_object, several
from sampan.api.resources import NODES

pytestmark = pytest.mark.root
MODES = pytest.mark.parametrize("overlay", [False, True], ids=["routes", "vxlan"])


async def eventually(lab: Lab, mark: str, *, there: bool) -> None:
    """Waits until `mark` stands in the node's routes, or does no more."""
    for _ in range(1000):
        if (mark in await lab.node.execute(("ip", "route"))) == there:
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"{mark} is {'not ' if there else ''}there")


@MODES
async def test_pods_of_all_nodes_reach_each_other(tmp_path: Path, overlay: bool) -> None:
    async with several(tmp_path, overlay=overlay) as made:
        labs = [await made.add() for _ in range(3)]
        await eventually(labs[0], str(labs[2].family.pod_cidr), there=True)
        pods = [await lab.pod() for lab in labs]
        for pod in pods:
            await pod.serve(80)
        for pod in pods:
            for other in pods:
                for row, ip in enumerate(other.ips):
                    assert await pod.ask(ip, 80) == f"{ip} {pod.ips[row]}"
        for lab in labs:
            for ip in pods[1].ips:
                assert (await lab.inside.ask(ip, 80)).startswith(ip)
        await labs[2].inside.serve(81)
        for pod in pods:
            for ip in labs[2].inside.ips:
                assert (await pod.ask(ip, 81)).startswith(ip)
        host = Place(labs[0], "", "")
        for pod in pods:
            for ip in pod.ips:
                assert (await host.ask(ip, 80)).startswith(ip)
        link = await labs[0].node.execute(("nsenter", f"--net={pods[0].path}", "ip", "link", "show", "eth0"))
        assert f"mtu {1450 if overlay else 1500}" in link


@MODES
async def test_a_node_that_goes_takes_its_way_with_it(tmp_path: Path, overlay: bool) -> None:
    async with several(tmp_path, overlay=overlay) as made:
        labs = [await made.add() for _ in range(2)]
        mark = str(labs[1].family.pod_cidr)
        await eventually(labs[0], mark, there=True)
        await made.client.delete(NODES, "n1")
        await eventually(labs[0], mark, there=False)


@MODES
async def test_what_was_missed_while_nobody_looked_is_made_up_for(tmp_path: Path, overlay: bool) -> None:
    async with several(tmp_path, overlay=overlay) as made:
        labs = [await made.add() for _ in range(3)]
        await eventually(labs[0], str(labs[2].family.pod_cidr), there=True)
        await end(made.tasks[1:])
        await made.client.delete(NODES, "n1")
        await made.start(labs[0])
        routes = await labs[0].node.execute(("ip", "route"))
        assert str(labs[2].family.pod_cidr) in routes
        assert str(labs[1].family.pod_cidr) not in routes


async def test_a_node_out_of_reach_keeps_nobody_from_the_others(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with several(tmp_path, overlay=False) as made:
        labs = [await made.add() for _ in range(2)]
        node = node_object(labs[1].node.plan, "far")
        node["spec"]["podCIDRs"] = [str(labs[1].family.pod_cidr).replace(".1.0/", ".9.0/")]
        node["status"]["addresses"] = [{"type": "InternalIP", "address": "192.0.2.77"}]
        await end(made.tasks[1:])
        await made.client.create(NODES, node)
        await made.start(labs[0])
        assert "192.0.2.77" in caplog.text
        assert str(labs[1].family.pod_cidr) in await labs[0].node.execute(("ip", "route"))


async def test_from_vxlan_back_to_plain_routes(tmp_path: Path) -> None:
    async with several(tmp_path, overlay=True) as made:
        labs = [await made.add() for _ in range(2)]
        pods = [await lab.pod() for lab in labs]
        await pods[1].serve(80)
        await end(made.tasks[1:])
        for lab in labs:
            lab.node.plan = dataclasses.replace(lab.node.plan, overlay=False)
            await made.start(lab)
            assert "vx0" not in await lab.node.execute(("ip", "link"))
            assert "sampan_overlay" not in await lab.node.execute(("nft", "list", "tables"))
        for row, ip in enumerate(pods[1].ips):
            assert await pods[0].ask(ip, 80) == f"{ip} {pods[0].ips[row]}"


async def test_a_nodes_new_address_is_followed(tmp_path: Path) -> None:
    async with several(tmp_path, overlay=False) as made:
        labs = [await made.add() for _ in range(2)]
        moved = labs[1].family.host.network[77]
        node = node_object(labs[1].node.plan, "n1")
        node["status"]["addresses"] = [{"type": "InternalIP", "address": str(moved)}]
        await made.client.patch(NODES, "n1", {"status": node["status"]}, subresource="status")
        await eventually(labs[0], f"{labs[1].family.pod_cidr} via {moved}", there=True)
