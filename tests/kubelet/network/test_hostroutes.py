"""Which routes the host is given, and which it is not."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Sequence
from ipaddress import ip_address, ip_network
from pathlib import Path
from uuid import uuid4

import pytest

from harness.lab import endpoint, service, slice_of
from sampan.api.objects import Obj
from sampan.api.resources import ENDPOINT_SLICES, NODES, SERVICE_CIDRS, SERVICES
from sampan.client.client import Client
from sampan.client.fake import FakeTransport
from sampan.client.informers import Informers
from sampan.kubelet.network.hostroutes import HostRoutes, Objects, allowed, wanted
from sampan.kubelet.network.netlink import MAIN_TABLE, Route
from sampan.kubelet.network.node import ensure_node
from sampan.kubelet.network.plan import node_plan

PLAN = node_plan(0, "c", Path(), families=(4, 6))
ONE, TWO, SIX = ip_address("100.64.0.2"), ip_address("100.64.0.3"), ip_address("fd73:616d:7000:300::2")
PORT = {"port": 80}
LINK = 7


def node(name: str, *ips: str) -> Obj:
    status = {"addresses": [{"type": "InternalIP", "address": ip} for ip in ips]}
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}, "status": status}


def cidr(*texts: str, name: str = "more") -> Obj:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "ServiceCIDR",
        "metadata": {"name": name},
        "spec": {"cidrs": list(texts)},
    }


def external(*ips: str, policy: str = "Cluster") -> Obj:
    return service("web", "10.96.0.9", PORT, externalIPs=list(ips), externalTrafficPolicy=policy)


def planned(
    services: Sequence[Obj] = (), cidrs: Sequence[Obj] = (), nodes: Sequence[Obj] = (), *slices: Obj
) -> dict[str, list[str]]:
    found = wanted(Objects(services, cidrs, nodes, {"default/web": slices}), PLAN)
    return {str(network): [str(gateway) for gateway in by] for network, by in found.items()}


def test_ranges_that_were_not_there_from_the_start() -> None:
    assert planned(cidrs=[cidr("10.200.0.0/24", "fd00:200::/112"), cidr("10.96.0.0/16")]) == {
        "10.200.0.0/24": [str(ONE)],
        "fd00:200::/112": [str(SIX)],
    }


def test_external_ips_by_the_first_node() -> None:
    assert planned([external("192.0.2.9", "fd00:9::9")]) == {
        "192.0.2.9/32": [str(ONE)],
        "fd00:9::9/128": [str(SIX)],
    }


def test_external_ips_that_keep_to_nodes_by_those_with_endpoints() -> None:
    nodes = [node("n1", str(ONE)), node("n2", str(TWO))]
    slices = slice_of("web", [PORT], endpoint("10.244.1.5", "n2"))
    assert planned([external("192.0.2.9", policy="Local")], [], nodes, slices) == {"192.0.2.9/32": [str(TWO)]}
    assert planned([external("192.0.2.9", policy="Local")], [], nodes) == {"192.0.2.9/32": [str(ONE)]}
    assert planned([external("192.0.2.9", policy="Local")], [], nodes[:1], slices) == {
        "192.0.2.9/32": [str(ONE)]
    }


@pytest.mark.parametrize(
    ("text", "good"),
    [
        ("192.0.2.2/32", False),  # the host's own
        ("192.0.2.1/32", False),  # its gateway
        ("192.0.2.9/32", True),
        ("198.51.100.0/24", True),
        ("192.0.2.128/25", False),  # a part of its network
        ("192.0.0.0/16", False),
        ("203.0.113.7/32", False),  # routed by somebody
        ("10.200.0.0/24", True),  # ours already
        ("fd00::1/128", False),
        ("fd00:200::/112", True),
    ],
)
def test_nothing_of_the_hosts_is_taken(text: str, good: bool) -> None:
    def route(network: str | None, index: int = 2, gateway: str = "", version: int = 4) -> Route:
        where = ip_network(network) if network else None
        return Route(where, index, MAIN_TABLE, version, 4, ip_address(gateway) if gateway else None)

    host = [
        route(None, gateway="192.0.2.1"),
        route("192.0.2.0/24"),
        route("192.0.2.2/32"),
        route("203.0.113.7/32", gateway="192.0.2.77"),
        route("10.200.0.0/24", LINK),
        route(None, gateway="fd00::1", version=6),
        route("fd00::/64", version=6),
    ]
    network = ip_network(text)
    assert (network in allowed({network: (ONE,)}, host, LINK)) == good


def balanced(ip: str) -> Obj:
    made = service("web", "10.96.0.9", PORT, type="LoadBalancer", externalTrafficPolicy="Local")
    made["status"] = {"loadBalancer": {"ingress": [{"ip": ip, "ipMode": "VIP"}]}}
    return made


def routes() -> str:
    return subprocess.run(("ip", "route"), check=True, capture_output=True, text=True).stdout


async def until(mark: str, *, there: bool) -> None:
    for _ in range(6000):
        if (mark in routes()) == there:
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"{mark} is {'not ' if there else ''}among {routes()}")


@pytest.mark.root
async def test_routes_follow_objects(tmp_path: Path) -> None:
    name = f"test-{uuid4().hex[:8]}"
    first = await ensure_node(name, tmp_path / "node", tmp_path / "network.json", lan=tmp_path / "lan")
    row = first.plan.families[0]
    vip, far = str(row.load_balancers[0][7]), [str(row.host.network[offset]) for offset in (2, 3)]
    client = Client(FakeTransport())
    informers = Informers(client)
    tasks = [asyncio.create_task(work) for work in (informers.run(), HostRoutes(first.plan, informers).run())]
    try:
        for number, ip in enumerate(far, 1):
            await client.create(NODES, node(f"n{number}", ip))
        await client.create(SERVICES, balanced(vip))
        one, two = endpoint("10.244.0.5", "n1"), endpoint("10.244.1.5", "n2")
        await client.create(ENDPOINT_SLICES, slice_of("web", [PORT], two))
        await until(f"{vip} via {far[1]}", there=True)
        await client.update(ENDPOINT_SLICES, slice_of("web", [PORT], one, two))
        await until(f"\n{vip} proto 83 \n\tnexthop via {far[0]}", there=True)
        for task in tasks[1:]:
            task.cancel()
        tasks.append(asyncio.create_task(HostRoutes(first.plan, informers).run()))
        await client.update(ENDPOINT_SLICES, slice_of("web", [PORT], one))
        await until(f"{vip} via {far[0]}", there=True)
        await client.delete(SERVICES, "web", namespace="default")
        await until(vip, there=False)

        await client.create(SERVICE_CIDRS, cidr("198.18.77.0/24"))
        await client.create(SERVICES, external("198.18.78.9"))
        for mark in ("198.18.77.0/24", "198.18.78.9"):
            await until(f"{mark} via {far[0]}", there=True)
        await client.delete(SERVICE_CIDRS, "more")
        await client.delete(SERVICES, "web", namespace="default")
        for mark in ("198.18.77.0/24", "198.18.78.9"):
            await until(mark, there=False)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await first.remove()
        first.close()
