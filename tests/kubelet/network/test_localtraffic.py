from __future__ import annotations

import asyncio
import subprocess
from ipaddress import IPv4Address, IPv4Network, IPv6Address, ip_address, ip_network
from pathlib import Path
from uuid import uuid4

import pytest

from harness.lab import endpoint, service, slice_of
from sampan.api.objects import Obj
from sampan.api.resources import ENDPOINT_SLICES, NODES, SERVICES
from sampan.client.client import Client
from sampan.client.fake import FakeTransport
from sampan.client.informers import Informers
from sampan.kubelet.network.localtraffic import LocalTraffic, ways
from sampan.kubelet.network.node import ensure_node

NODE_IPS = {
    "n1": (IPv4Address("100.64.0.2"), IPv6Address("fd73::2")),
    "n2": (IPv4Address("100.64.0.3"), IPv6Address("fd73::3")),
}
PORT = {"port": 80}
VIP = IPv4Network("100.65.0.7/32")


def balanced(*ips: str, policy: str = "Local") -> Obj:
    made = service("web", "10.96.0.9", PORT, type="LoadBalancer", externalTrafficPolicy=policy)
    made["status"] = {"loadBalancer": {"ingress": [{"ip": ip, "ipMode": "VIP"} for ip in ips]}}
    return made


def test_by_way_of_the_nodes_with_endpoints() -> None:
    one, two = endpoint("10.244.0.5", "n1"), endpoint("10.244.1.5", "n2")
    for endpoints, names in (([one], ["n1"]), ([two, one, one], ["n1", "n2"]), ([], None)):
        found = ways(balanced("100.65.0.7"), [slice_of("web", [PORT], *endpoints)], NODE_IPS)
        assert found == ({VIP: tuple(NODE_IPS[name][0] for name in names)} if names else {})


def test_each_family_has_its_own_endpoints() -> None:
    six = slice_of("web", [PORT], endpoint("fd73::5", "n2"), suffix="b") | {"addressType": "IPv6"}
    four = slice_of("web", [PORT], endpoint("10.244.0.5", "n1"))
    assert ways(balanced("100.65.0.7", "fd73:1::7"), [four, six], NODE_IPS) == {
        VIP: (ip_address("100.64.0.2"),),
        ip_network("fd73:1::7/128"): (ip_address("fd73::3"),),
    }


def test_those_that_serve_to_their_end_count_while_none_is_ready() -> None:
    leaving = endpoint("10.244.0.5", "n1", ready=False, serving=True, terminating=True)
    dead = endpoint("10.244.1.6", "n2", ready=False, serving=False)
    ready = endpoint("10.244.1.5", "n2")
    assert ways(balanced("100.65.0.7"), [slice_of("web", [PORT], leaving, dead)], NODE_IPS) == {
        VIP: (ip_address("100.64.0.2"),)
    }
    assert ways(balanced("100.65.0.7"), [slice_of("web", [PORT], leaving, ready)], NODE_IPS) == {
        VIP: (ip_address("100.64.0.3"),)
    }


def test_a_service_of_every_node_has_no_way_of_its_own() -> None:
    slices = [slice_of("web", [PORT], endpoint("10.244.0.5", "n1"))]
    assert ways(balanced("100.65.0.7", policy="Cluster"), slices, NODE_IPS) == {}
    assert ways(balanced(), slices, NODE_IPS) == {}


def routes() -> str:
    return subprocess.run(("ip", "route"), check=True, capture_output=True, text=True).stdout


async def until(mark: str, *, there: bool) -> None:
    for _ in range(1000):
        if (mark in routes()) == there:
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"{mark} is {'not ' if there else ''}among {routes()}")


@pytest.mark.root
async def test_the_hosts_routes_follow_the_endpoints(tmp_path: Path) -> None:
    name = f"test-{uuid4().hex[:8]}"
    node = await ensure_node(name, tmp_path / "node", tmp_path / "network.json", lan=tmp_path / "lan")
    row = node.plan.families[0]
    vip, far = str(row.load_balancers[0][7]), [str(row.host.network[offset]) for offset in (2, 3)]
    client = Client(FakeTransport())
    informers = Informers(client)
    tasks = [
        asyncio.create_task(work) for work in (informers.run(), LocalTraffic(node.plan, informers).run())
    ]
    try:
        for number, ip in enumerate(far, 1):
            status = {"addresses": [{"type": "InternalIP", "address": ip}]}
            made = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": f"n{number}"}, "status": status}
            await client.create(NODES, made)
        await client.create(SERVICES, balanced(vip))
        one, two = endpoint("10.244.0.5", "n1"), endpoint("10.244.1.5", "n2")
        await client.create(ENDPOINT_SLICES, slice_of("web", [PORT], two))
        await until(f"{vip} via {far[1]}", there=True)
        await client.update(ENDPOINT_SLICES, slice_of("web", [PORT], one, two))
        await until(f"\n{vip} proto 83 \n\tnexthop via {far[0]}", there=True)
        for task in tasks[1:]:
            task.cancel()
        tasks.append(asyncio.create_task(LocalTraffic(node.plan, informers).run()))
        await client.update(ENDPOINT_SLICES, slice_of("web", [PORT], one))
        await until(f"{vip} via {far[0]}", there=True)
        await client.delete(SERVICES, "web", namespace="default")
        await until(vip, there=False)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await node.remove()
        node.close()
