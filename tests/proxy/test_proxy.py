"""The proxy between an API server in memory and a kernel of dictionaries."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Collection
from dataclasses import replace

import pytest

from harness.lab import endpoint, service, slice_of
from sampan.api.objects import Obj
from sampan.api.resources import ENDPOINT_SLICES, PODS, SERVICE_CIDRS, SERVICES
from sampan.client.client import Client
from sampan.client.fake import FakeTransport
from sampan.client.informers import Informers
from sampan.proxy.fake import FakeConntrack, FakeNft
from sampan.proxy.frontends import Front
from sampan.proxy.proxy import Proxy, ProxyConfig
from sampan.proxy.rules import Flows
from sampan.proxy.table import KEY_MASK, Element, Table

pytestmark = pytest.mark.virtual_time

CONFIG = ProxyConfig("node-1", ("100.64.0.2",), ("10.244.0.0/24",), ("10.96.0.0/16",))
TCP = [{"name": "", "port": 8080, "protocol": "TCP"}]
UDP = [{"name": "", "port": 8080, "protocol": "UDP"}]
WEB = service("web", "10.96.0.20", {"port": 80})


async def no_socket(family: int, kind: int, proto: int) -> socket.socket:
    raise AssertionError("the fakes need no socket")


async def no_nft(text: str) -> None:
    raise AssertionError("the fakes need no nft")


class World:
    def __init__(self, *objects: Obj, kernel: Table | None = None, config: ProxyConfig = CONFIG) -> None:
        self.api = FakeTransport(*objects)
        self.nft = FakeNft(kernel)
        self.conntrack = FakeConntrack()
        self.config = config

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Proxy]:
        client = Client(self.api)
        informers = Informers(client)
        proxy = Proxy(
            client, informers, no_socket, no_nft, self.config, nft=self.nft, conntrack=self.conntrack
        )
        tasks = [asyncio.create_task(informers.run()), asyncio.create_task(proxy.run())]
        try:
            async with asyncio.timeout(30):
                await proxy.wait_synced()
            yield proxy
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def endpoints(self) -> list[str]:
        table = self.nft.table or {}
        return sorted(str(value[0]) for (name, _), value in table.items() if name == "ep4")


async def turns(n: int = 30) -> None:
    for _ in range(n):
        await asyncio.sleep(0)


def served(ip: str = "10.244.0.5", name: str = "p", protocol: str = "TCP") -> Obj:
    """A Pod of the node with a host port."""
    ports = [{"hostPort": 8080, "containerPort": 80, "hostIP": "100.64.0.2", "protocol": protocol}]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default", "uid": f"uid-{name}"},
        "spec": {"nodeName": "node-1", "containers": [{"name": "main", "ports": ports}]},
        "status": {"phase": "Running", "podIPs": [{"ip": ip}]},
    }


def pod(ip: str) -> Obj:
    return {
        "metadata": {"name": "p", "namespace": "default"},
        "spec": {},
        "status": {"podIP": ip, "podIPs": [{"ip": ip}]},
    }


async def test_slice_event_is_one_transaction() -> None:
    world = World(WEB, slice_of("web", TCP, endpoint("10.244.0.5")))
    async with world.running():
        world.nft.changes.clear()
        world.api.add(slice_of("web", TCP, endpoint("10.244.0.5"), endpoint("10.244.0.6")))
        await turns()
        assert world.endpoints() == ["10.244.0.5", "10.244.0.6"]
        assert len(world.nft.changes) == 1


async def test_removed_endpoint_touches_only_its_own_slot() -> None:
    ends = [endpoint(f"10.244.0.{n}") for n in range(5, 10)]
    world = World(WEB, slice_of("web", TCP, *ends))
    async with world.running():
        world.nft.changes.clear()
        world.api.add(slice_of("web", TCP, ends[0], *ends[2:]))
        await turns()
        (change,) = world.nft.changes
        assert {element.set for element, _ in change.delete} == {"ep4", "svc", "hair4"}
        assert sorted(element.key[1] for element, _ in change.delete if element.set == "ep4") == [1, 4]


async def test_service_comes_and_goes() -> None:
    world = World()
    async with world.running():
        before = dict(world.nft.table or {})
        world.api.add(slice_of("web", TCP, endpoint("10.244.0.5")), WEB)
        await turns()
        assert Element("fe4", ("10.96.0.20", "tcp", 80)) in (world.nft.table or {})
        world.api.remove(SERVICES, "web", "default")
        world.api.remove(ENDPOINT_SLICES, "web-a", "default")
        await turns()
        assert world.nft.table == before


async def test_address_that_is_none_stops_its_own_service_alone() -> None:
    other = service("other", "10.96.0.30", {"port": 80})
    world = World(WEB, slice_of("web", TCP, endpoint("10.244.0.5")), other)
    async with world.running():
        world.api.add(
            slice_of("web", TCP, endpoint("10.244.0.005")), slice_of("other", TCP, endpoint("10.244.0.6"))
        )
        await turns()
        assert world.endpoints() == ["10.244.0.5", "10.244.0.6"]
        world.api.add(slice_of("web", TCP, endpoint("10.244.0.7")))
        await turns()
        assert world.endpoints() == ["10.244.0.6", "10.244.0.7"]


async def test_selector_change_moves_all_endpoints_at_once() -> None:
    world = World(WEB, slice_of("web", TCP, endpoint("10.244.0.5"), endpoint("10.244.0.6")))
    async with world.running():
        world.nft.changes.clear()
        world.api.add(slice_of("web", TCP, endpoint("10.244.0.7"), endpoint("10.244.0.8")))
        await turns()
        assert world.endpoints() == ["10.244.0.7", "10.244.0.8"]
        assert len(world.nft.changes) == 1


async def test_udp_flows_of_removed_endpoints_are_forgotten() -> None:
    world = World(
        service("dns", "10.96.0.21", {"port": 53, "protocol": "UDP"}),
        slice_of("dns", UDP, endpoint("10.244.0.5"), endpoint("10.244.0.6")),
    )
    async with world.running():
        assert world.conntrack.forgotten == []
        world.api.add(slice_of("dns", UDP, endpoint("10.244.0.6")))
        await turns()
        assert world.conntrack.forgotten == [Flows(1, "10.244.0.5", 8080)]


async def test_table_of_an_earlier_process_is_kept() -> None:
    ends = [endpoint(f"10.244.0.{n}") for n in (5, 6, 7)]
    other = service("other", "10.96.0.30", {"port": 80})
    first = World(other, WEB, slice_of("web", TCP, *ends))
    async with first.running():
        table = dict(first.nft.table or {})
    # Another one has come first, and the endpoints are in another order.
    new = service("a", "10.96.0.5", {"port": 80})
    second = World(new, WEB, other, slice_of("web", TCP, *reversed(ends)), kernel=table)
    async with second.running() as proxy:
        assert second.nft.replaced == 0
        (change,) = second.nft.changes
        assert not change.delete
        assert [element for element, _ in change.add] == [Element("fe4", ("10.96.0.5", "tcp", 80))]
        assert await proxy.audit() == 0


async def test_what_changed_while_nobody_looked_is_one_transaction() -> None:
    first = World(WEB, slice_of("web", TCP, endpoint("10.244.0.5")), service("x", "10.96.0.9", {"port": 1}))
    async with first.running():
        table = dict(first.nft.table or {})
    second = World(WEB, slice_of("web", TCP, endpoint("10.244.0.6")), kernel=table)
    async with second.running():
        assert second.endpoints() == ["10.244.0.6"]
        assert Element("fe4", ("10.96.0.9", "tcp", 1)) not in (second.nft.table or {})
        assert len(second.nft.changes) == 1


async def test_udp_flows_of_endpoints_that_went_while_nobody_looked_are_forgotten() -> None:
    dns = service("dns", "10.96.0.21", {"port": 53, "protocol": "UDP"})
    first = World(dns, slice_of("dns", UDP, endpoint("10.244.0.5"), endpoint("10.244.0.6")))
    async with first.running():
        table = dict(first.nft.table or {})
    second = World(dns, slice_of("dns", UDP, endpoint("10.244.0.6")), kernel=table)
    async with second.running():
        await turns()
        assert second.conntrack.forgotten == [Flows(1, "10.244.0.5", 8080)]


async def test_change_during_an_audit_is_not_undone() -> None:
    world = World(WEB, slice_of("web", TCP, endpoint("10.244.0.5")))
    async with world.running() as proxy:
        listing = world.nft.listing

        async def slow_listing() -> Table:
            before = await listing()
            world.api.add(slice_of("web", TCP, endpoint("10.244.0.6")))
            await turns()
            return before

        world.nft.listing = slow_listing  # type: ignore[method-assign]
        assert await proxy.audit() == 0
        assert world.endpoints() == ["10.244.0.6"]


async def test_refused_change_brings_kernel_and_table_together() -> None:
    world = World(WEB, slice_of("web", TCP, endpoint("10.244.0.5")))
    async with world.running():
        assert world.nft.table is not None
        del world.nft.table[Element("svc", (1,))]
        world.api.add(slice_of("web", TCP, endpoint("10.244.0.5"), endpoint("10.244.0.6")))
        await turns()
        assert world.endpoints() == ["10.244.0.5", "10.244.0.6"]
        assert world.nft.table[Element("svc", (1,))] == (2,)


async def test_audit_comes_by_itself() -> None:
    world = World(WEB, config=replace(CONFIG, audit_every_s=0.02))
    async with world.running():
        assert world.nft.table is not None
        world.nft.table[Element("fe4", ("10.96.0.99", "tcp", 1))] = (9,)
        await asyncio.sleep(0.1)
        assert Element("fe4", ("10.96.0.99", "tcp", 1)) not in world.nft.table


def node(zone: str = "", **spec: object) -> Obj:
    labels = {"topology.kubernetes.io/zone": zone} if zone else {}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": "node-1", "labels": labels},
        "spec": spec,
    }


async def test_zone_of_the_node_counts_from_the_first_table_on_and_as_it_changes() -> None:
    ends = [
        endpoint(f"10.244.0.{n}") | {"hints": {"forZones": [{"name": zone}]}}
        for n, zone in ((5, "a"), (6, "b"))
    ]
    world = World(WEB, slice_of("web", TCP, *ends), node("a"))
    async with world.running():
        assert world.endpoints() == ["10.244.0.5"]
        world.api.add(node("b"))
        await turns()
        assert world.endpoints() == ["10.244.0.6"]
        world.nft.changes.clear()
        world.api.add(node("b", taints=[{"key": "other"}]))
        await turns()
        assert world.nft.changes == []


async def test_new_service_range_is_guarded_and_nobodys_external_address() -> None:
    thief = service("thief", "10.96.0.30", {"port": 80}, externalIPs=["10.97.0.20"])
    ranges: Obj = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "ServiceCIDR",
        "metadata": {"name": "more"},
        "spec": {"cidrs": ["10.96.0.0/16", "10.97.0.0/24"]},
    }
    world = World(thief)
    async with world.running():
        stolen = Element("fe4", ("10.97.0.20", "tcp", 80))
        assert stolen in (world.nft.table or {})
        world.api.add(ranges)
        await turns()
        assert world.nft.guarded == ("10.97.0.0/24",)
        assert stolen not in (world.nft.table or {})
        world.api.remove(SERVICE_CIDRS, "more", "")
        await turns()
        assert world.nft.guarded == ()
        assert stolen in (world.nft.table or {})


async def test_flows_that_gather_while_the_kernel_is_busy_are_forgotten_together() -> None:
    ends = [endpoint(f"10.244.0.{n}") for n in range(5, 9)]
    world = World(service("dns", "10.96.0.21", {"port": 53, "protocol": "UDP"}), slice_of("dns", UDP, *ends))
    asked: list[int] = []
    free = asyncio.Event()

    async def slow(flows: Collection[Flows], fronts: Collection[Front]) -> None:
        asked.append(len(flows))
        await free.wait()

    world.conntrack.forget = slow  # type: ignore[method-assign]
    async with world.running():
        for count in (3, 2, 1):
            world.api.add(slice_of("dns", UDP, *ends[:count]))
            await turns()
        free.set()
        await turns()
        assert asked == [1, 2]


async def test_affinity_of_an_earlier_process_keeps_everybodys_seat() -> None:
    ends = [endpoint(f"10.244.0.{n}") for n in (5, 6, 7)]
    sticky = service("web", "10.96.0.20", {"port": 80}, sessionAffinity="ClientIP")
    first = World(sticky, slice_of("web", TCP, *ends))
    async with first.running():
        first.api.add(slice_of("web", TCP, *ends[1:]))
        await turns()
        table = dict(first.nft.table or {})
    assert table[Element("ep4", (1, 2))] == ("10.244.0.7", 8080)
    second = World(sticky, slice_of("web", TCP, *reversed(ends[1:])), kernel=table)
    async with second.running() as proxy:
        assert second.nft.changes == []
        assert await proxy.audit() == 0
        second.api.add(slice_of("web", TCP, *ends))
        await turns()
        assert (second.nft.table or {})[Element("ep4", (1, 0))] == ("10.244.0.5", 8080)


async def test_drained_returns_once_the_endpoint_is_gone() -> None:
    world = World(WEB, slice_of("web", TCP, endpoint("10.244.0.5"), endpoint("10.244.0.6")))
    async with world.running() as proxy:
        async with asyncio.timeout(0.001):
            await proxy.drained(pod("10.244.0.77"))
        waiting = asyncio.create_task(proxy.drained(pod("10.244.0.5")))
        await asyncio.sleep(0.02)
        assert not waiting.done()
        leaving = endpoint("10.244.0.5", ready=False, serving=True, terminating=True)
        world.api.add(slice_of("web", TCP, leaving, endpoint("10.244.0.6")))
        async with asyncio.timeout(30):
            await waiting
        assert world.endpoints() == ["10.244.0.6"]


async def test_drained_does_not_wait_for_a_last_resort() -> None:
    world = World(WEB, slice_of("web", TCP, endpoint("10.244.0.5")))
    async with world.running() as proxy:
        waiting = asyncio.create_task(proxy.drained(pod("10.244.0.5")))
        await turns()
        leaving = endpoint("10.244.0.5", ready=False, serving=True, terminating=True)
        world.api.add(slice_of("web", TCP, leaving))
        async with asyncio.timeout(30):
            await waiting
        assert world.endpoints() == ["10.244.0.5"]


async def test_host_port_follows_its_pod() -> None:
    world = World()
    async with world.running() as proxy:
        before = dict(world.nft.table or {})
        world.api.add(served())
        await turns()
        assert world.endpoints() == ["10.244.0.5"]
        world.api.add(served("10.244.0.6"))
        await turns()
        assert world.endpoints() == ["10.244.0.6"]
        assert len(world.nft.changes) == 2
        assert await proxy.audit() == 0
        world.api.remove(PODS, "p", "default")
        await turns()
        assert world.nft.table == before


async def test_host_ports_of_other_nodes_are_theirs() -> None:
    world = World({**served(), "spec": {**served()["spec"], "nodeName": "node-2"}})
    async with world.running():
        assert world.endpoints() == []


async def test_pod_without_host_port_changes_nothing() -> None:
    plain = {**served(), "spec": {"nodeName": "node-1", "containers": [{"name": "main"}]}}
    world = World()
    async with world.running():
        world.api.add(plain)
        await turns()
        assert world.nft.changes == []


async def test_udp_flows_of_a_host_port_move_with_it() -> None:
    world = World(served(protocol="UDP"))
    async with world.running():
        world.api.add(served("10.244.0.6", protocol="UDP"))
        await turns()
        assert world.conntrack.forgotten == [Flows(1, "10.244.0.5", 80)]


async def test_host_ports_of_an_earlier_process_keep_their_keys() -> None:
    first = World(WEB, slice_of("web", TCP, endpoint("10.244.0.5")), served(protocol="UDP"))
    async with first.running():
        table = dict(first.nft.table or {})
    second = World(served("10.244.0.6", protocol="UDP"), WEB, kernel=table)
    async with second.running():
        await turns()
        hp4 = Element("hp4", ("100.64.0.2", "udp", 8080))
        assert (second.nft.table or {})[hp4] == table[hp4]
        key = int(table[hp4][0]) & KEY_MASK
        assert second.conntrack.forgotten == [Flows(key, "10.244.0.5", 80)]


async def test_drained_takes_host_ports_away_before_the_api_knows_of_the_end() -> None:
    world = World(served(), served("10.244.0.7", "q"))
    async with world.running() as proxy:
        assert world.endpoints() == ["10.244.0.5"]
        async with asyncio.timeout(30):
            await proxy.drained(served())
        assert world.endpoints() == ["10.244.0.7"]
        world.api.remove(PODS, "p", "default")
        world.api.add(served("10.244.0.8"))
        world.api.remove(PODS, "q", "default")
        await turns()
        assert world.endpoints() == ["10.244.0.8"]


async def test_drained_knows_a_static_pod_by_its_mirror() -> None:
    mirror = served()
    mirror["metadata"] |= {"annotations": {"kubernetes.io/config.mirror": "uid-p"}, "uid": "another"}
    world = World(mirror)
    async with world.running() as proxy:
        async with asyncio.timeout(30):
            await proxy.drained(served())
        assert world.endpoints() == []
