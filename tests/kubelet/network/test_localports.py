"""Node ports on the host's loopback; here an address of it that nobody else uses."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from ipaddress import IPv4Interface, ip_address
from pathlib import Path

import pytest

from harness.lab import endpoint, service, slice_of
from sampan.api.objects import Obj
from sampan.api.resources import EVENTS, SERVICES
from sampan.client.client import Client
from sampan.client.events import EventRecorder
from sampan.client.fake import FakeTransport
from sampan.client.informers import Informers
from sampan.kubelet.network import localports
from sampan.kubelet.network.localports import LocalPorts, entrances, node_ports
from sampan.kubelet.network.plan import node_plan

FIRST = [ip_address("100.64.0.2"), ip_address("fd73::2")]
NODES = {"n1": FIRST, "n2": [ip_address("100.64.0.3"), ip_address("fd73::3")]}
HERE, NODE = "127.83.0.1", "127.83.0.2"
PORT = {"port": 80, "nodePort": 30080}


def exposed(*ports: Obj, **spec: object) -> Obj:
    return service("web", "10.96.0.9", *(ports or (PORT,)), type="NodePort", **spec)


@pytest.mark.parametrize(
    ("made", "ports"),
    [
        (exposed(PORT, {"port": 81, "nodePort": 30081}), {30080, 30081}),
        (exposed(PORT, {"port": 53, "nodePort": 30053, "protocol": "UDP"}), {30080}),
        (exposed({"port": 80}), set()),
        (exposed() | {"spec": {**exposed()["spec"], "type": "LoadBalancer"}}, {30080}),
        (exposed() | {"spec": {**exposed()["spec"], "type": "ClusterIP"}}, set()),
        ({}, set()),
    ],
)
def test_which_ports(made: Obj, ports: set[int]) -> None:
    assert node_ports(made) == ports


@pytest.mark.parametrize(
    ("families", "version", "found"),
    [
        (["IPv4"], 4, ["100.64.0.2"]),
        (["IPv4"], 6, ["100.64.0.2"]),
        (["IPv4", "IPv6"], 6, ["fd73::2", "100.64.0.2"]),
        (["IPv6", "IPv4"], 4, ["100.64.0.2", "fd73::2"]),
        (["IPv6"], 4, ["fd73::2"]),
    ],
)
def test_by_the_first_node(families: list[str], version: int, found: list[str]) -> None:
    made = exposed(ipFamilies=families)
    assert [str(ip) for ip in entrances(made, [], NODES, FIRST, version)] == found


def test_what_keeps_to_nodes_by_those_with_endpoints() -> None:
    made = exposed(externalTrafficPolicy="Local")
    slices = [slice_of("web", [PORT], endpoint("10.244.1.5", "n2"))]
    assert entrances(made, slices, NODES, FIRST, 4) == [ip_address("100.64.0.3")]
    assert entrances(made, [], NODES, FIRST, 4) == []
    assert entrances(made, slices, {"n1": FIRST}, FIRST, 4) == FIRST[:1]


class World:
    ports: LocalPorts

    def __init__(self) -> None:
        self.fake = FakeTransport()
        self.client = Client(self.fake)

    async def until(self, true: Callable[[], bool]) -> None:
        for _ in range(6000):
            if true():
                return
            await asyncio.sleep(0.005)
        raise AssertionError("never came true")


def answers(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex((HERE, port)) == 0


@pytest.fixture
def listener(monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """The node's own, at a port that nobody else has."""
    monkeypatch.setattr(localports, "LOOPBACKS", (HERE,))
    with socket.create_server((NODE, 0)) as made:
        made.setblocking(False)
        yield made


@asynccontextmanager
async def world() -> AsyncIterator[World]:
    it = World()
    plan = node_plan(0, "c", Path())
    plan = replace(plan, families=(replace(plan.families[0], node=IPv4Interface(f"{NODE}/24")),))
    informers = Informers(it.client)
    it.ports = LocalPorts(plan, informers, EventRecorder(it.client, "sampan"))
    tasks = [asyncio.create_task(work) for work in (informers.run(), it.ports.run())]
    try:
        yield it
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_connection_to_the_loopback_is_the_nodes(listener: socket.socket) -> None:
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello " + await reader.readline())
        writer.close()

    port = listener.getsockname()[1]
    async with world() as it, await asyncio.start_server(greet, sock=listener):
        await it.client.create(SERVICES, exposed({"port": 80, "nodePort": port}))
        await it.until(lambda: answers(port))
        reader, writer = await asyncio.open_connection(HERE, port)
        writer.write(b"you\n")
        assert await reader.read() == b"hello you\n"
        writer.close()
        await it.client.delete(SERVICES, "web", namespace="default")
        await it.until(lambda: not answers(port))


async def test_a_port_that_another_program_has_stays_its(listener: socket.socket) -> None:
    port = listener.getsockname()[1]
    with socket.create_server((HERE, port)):
        async with world() as it:
            await it.client.create(SERVICES, exposed({"port": 80, "nodePort": port}))
            await it.until(lambda: "NodePortNotOnLoopback" in [e["reason"] for e in it.fake.objects(EVENTS)])


async def test_a_port_goes_from_one_service_to_another(listener: socket.socket) -> None:
    port = listener.getsockname()[1]
    other = exposed({"port": 80, "nodePort": port})
    other["metadata"]["name"] = "other"
    async with world() as it:
        await it.client.create(SERVICES, exposed({"port": 80, "nodePort": port}))
        await it.until(lambda: answers(port))
        await it.client.delete(SERVICES, "web", namespace="default")
        await it.client.create(SERVICES, other)
        await it.until(lambda: it.ports._owners == {port: "default/other"})
        assert answers(port)
