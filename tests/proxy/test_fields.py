"""Every field of a Service that says who gets where and whom the server sees: packets of both families."""

from __future__ import annotations

import asyncio
import json
import socket
from dataclasses import dataclass, replace

import pytest

from harness.lab import NODE, Lab, Place, endpoint, service, slice_of
from sampan.api.objects import Obj
from sampan.api.resources import SERVICE_CIDRS

pytestmark = pytest.mark.root

PORTS = [{"name": "", "port": 8080, "protocol": "TCP"}]
PORT = {"port": 80, "nodePort": 30080, "protocol": "TCP"}
CLIENT_IP = {"sessionAffinity": "ClientIP"}
LOCAL = {"externalTrafficPolicy": "Local"}


@dataclass
class Side:
    """The lab as one address family sees it."""

    lab: Lab
    index: int

    def of(self, place: Place) -> str:
        return place.ips[self.index]

    def vip(self, n: int = 20) -> str:
        return str(self.lab.node.plan.families[self.index].service_cidr[n])

    def pool(self, n: int = 1) -> str:
        return str(self.lab.node.plan.families[self.index].load_balancers[0][n])

    def add(self, *ends: Place | tuple[Place, str], **spec: object) -> None:
        """The Service `web` with these endpoints; `ingress`: addresses of its load balancer."""
        ingress = spec.pop("ingress", ())
        svc = service("web", self.vip(), PORT, **{"type": "NodePort", **spec})
        assert isinstance(ingress, tuple)
        svc["status"] = {"loadBalancer": {"ingress": [{"ip": address} for address in ingress]}}
        places = [end if isinstance(end, tuple) else (end, NODE) for end in ends]
        piece = slice_of("web", PORTS, *(endpoint(self.of(place), node) for place, node in places))
        piece["addressType"] = f"IPv{(4, 6)[self.index]}"
        self.lab.api.add(svc, piece)

    async def servers(self, count: int) -> list[Place]:
        pods = [await self.lab.pod() for _ in range(count)]
        for pod in pods:
            await pod.serve(8080)
        return pods

    async def met(self, client: Place, address: str, port: int, times: int = 24) -> set[str]:
        return {(await client.ask(address, port)).split()[0] for _ in range(times)}

    @property
    def node(self) -> str:
        return self.of(self.lab.inside)


@pytest.fixture(params=[0, 1], ids=["IPv4", "IPv6"])
def side(request: pytest.FixtureRequest, lab: Lab) -> Side:
    if request.param >= len(lab.node.plan.families):
        pytest.skip("the kernel has no IPv6")
    return Side(lab, request.param)


async def test_whom_the_server_sees(side: Side) -> None:
    """By cluster IP Pods keep their address; by whatever comes from outside nobody does."""
    lab = side.lab
    (server,) = await side.servers(1)
    client = await lab.pod()
    side.add(server, type="LoadBalancer", ingress=(side.pool(),), externalIPs=[side.pool(2)])
    async with lab.proxy() as proxy:
        outside = ((side.node, 30080), (side.pool(), 80), (side.pool(2), 80))
        for place in (client, lab.host, lab.inside):
            seen = side.of(client) if place is client else side.node
            assert await place.ask(side.vip(), 80) == f"{side.of(server)} {seen}"
            for address, port in outside:
                assert await place.ask(address, port) == f"{side.of(server)} {side.node}", (place.ip, address)
        for address, port in ((side.vip(), 80), *outside):
            assert await server.ask(address, port) == f"{side.of(server)} {side.node}"
        assert await proxy.audit() == 0


async def test_local_policy_keeps_the_source_and_uses_endpoints_of_this_node(side: Side) -> None:
    lab = side.lab
    here, there = await side.servers(2)
    client = await lab.pod()
    fields: dict[str, object] = {
        "type": "LoadBalancer", "ingress": (side.pool(),), "externalIPs": [side.pool(2)], **LOCAL
    }  # fmt: skip
    side.add(here, (there, "other"), **fields)
    outside = ((side.node, 30080), (side.pool(), 80), (side.pool(2), 80))
    async with lab.proxy() as proxy:
        for address, port in outside:
            for _ in range(6):
                assert await lab.host.ask(address, port) == f"{side.of(here)} {side.of(lab.host)}"
            for place in (client, lab.inside):
                assert await side.met(place, address, port) == {side.of(here), side.of(there)}
        assert (await client.ask(side.pool(), 80)).split()[1] == side.of(client)
        side.add((there, "other"), **fields)
        await lab.settle()
        for address, port in outside:
            with pytest.raises(TimeoutError):
                await lab.host.ask(address, port, timeout_s=0.2)
            assert await client.ask(address, port)
        side.add(**fields)
        await lab.settle()
        for address, port in outside:
            with pytest.raises(ConnectionRefusedError):
                await lab.host.ask(address, port)
        assert await proxy.audit() == 0


async def test_pods_of_other_nodes_are_of_the_cluster_but_their_answers_come_back_this_way(
    side: Side, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab = side.lab
    here, there = await side.servers(2)
    elsewhere = await lab.pod()
    narrow = tuple(f"{row.pod_cidr[2]}/{row.pod_cidr.max_prefixlen}" for row in lab.node.plan.families)
    assert side.of(here) in narrow[side.index]
    config = replace(lab.config(), pod_cidrs=narrow)
    monkeypatch.setattr(lab, "config", lambda: config)
    side.add(here, (there, "other"), **LOCAL)
    async with lab.proxy():
        assert await side.met(elsewhere, side.node, 30080) == {side.of(here), side.of(there)}
        assert (await elsewhere.ask(side.node, 30080)).split()[1] == side.node
        assert (await here.ask(side.node, 30080)).split()[1] in (side.of(here), side.node)


async def test_internal_policy(side: Side) -> None:
    lab = side.lab
    here, there = await side.servers(2)
    client = await lab.pod()
    side.add(here, (there, "other"), internalTrafficPolicy="Local")
    async with lab.proxy():
        assert await side.met(client, side.vip(), 80) == {side.of(here)}
        assert await side.met(client, side.node, 30080) == {side.of(here), side.of(there)}
        assert (await client.ask(side.vip(), 80)).split()[1] == side.of(client)
        assert (await lab.host.ask(side.vip(), 80)).split()[1] == side.node
        side.add((there, "other"), internalTrafficPolicy="Local")
        await lab.settle()
        with pytest.raises(TimeoutError):
            await client.ask(side.vip(), 80, timeout_s=0.2)


async def test_source_ranges_hold_for_the_load_balancer_alone_and_for_everybody(side: Side) -> None:
    lab = side.lab
    (server,) = await side.servers(1)
    client = await lab.pod()
    bits = (32, 128)[side.index]
    other_family = ("2001:db8::/32", "192.0.2.0/24")[side.index]

    def ranges(*places: Place) -> None:
        listed = [f"{side.of(place)}/{bits}" for place in places]
        side.add(
            server,
            type="LoadBalancer",
            ingress=(side.pool(),),
            loadBalancerSourceRanges=[*listed, other_family],
        )

    ranges(lab.host)
    async with lab.proxy() as proxy:
        assert await lab.host.ask(side.pool(), 80)
        for place in (client, lab.inside):
            with pytest.raises(TimeoutError):
                await place.ask(side.pool(), 80, timeout_s=0.2)
            assert await place.ask(side.node, 30080)
            assert await place.ask(side.vip(), 80)
        ranges(client, lab.inside)
        await lab.settle()
        with pytest.raises(TimeoutError):
            await lab.host.ask(side.pool(), 80, timeout_s=0.2)
        for place in (client, lab.inside):
            assert await place.ask(side.pool(), 80)
        assert await proxy.audit() == 0
        # Only networks of the other family: this one is open.
        ranges()
        await lab.settle()
        assert await lab.host.ask(side.pool(), 80)
        assert await proxy.audit() == 0


async def test_affinity_holds_behind_every_way_in(side: Side) -> None:
    lab = side.lab
    pods = await side.servers(4)
    clients = [await lab.pod() for _ in range(6)]
    side.add(*pods, type="LoadBalancer", ingress=(side.pool(),), **CLIENT_IP)
    async with lab.proxy() as proxy:
        for client in (*clients, lab.host):
            met = await side.met(client, side.vip(), 80, 6)
            assert len(met) == 1
            assert await side.met(client, side.node, 30080, 3) == met
            assert await side.met(client, side.pool(), 80, 3) == met
        assert await proxy.audit() == 0
    async with lab.proxy():
        again = [await side.met(client, side.vip(), 80, 3) for client in clients]
        assert all(len(met) == 1 for met in again)


async def test_address_that_is_nobodys_is_refused(side: Side) -> None:
    lab = side.lab
    client = await lab.pod()
    async with lab.proxy():
        for place in (client, lab.host, lab.inside):
            for address in (side.vip(77), side.pool(9)):
                with pytest.raises(ConnectionRefusedError):
                    await place.ask(address, 80)


async def test_new_service_range_is_guarded_as_long_as_it_is_there(side: Side) -> None:
    lab = side.lab
    client = await lab.pod()
    network, address = (("198.18.7.0/24", "198.18.7.9"), ("2001:db8:7::/64", "2001:db8:7::9"))[side.index]
    new: Obj = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "ServiceCIDR",
        "metadata": {"name": "more"},
        "spec": {"cidrs": [network]},
    }

    async def listed() -> bool:
        found = await lab.node.execute(("nft", "list", "set", "inet", "sampan", f"cips{(4, 6)[side.index]}"))
        return network in found

    async def until(wanted: bool) -> None:
        for _ in range(200):
            if await listed() is wanted:
                return
        raise AssertionError(f"{network} listed: {not wanted}")

    async with lab.proxy():
        lab.api.add(new)
        await until(True)
        with pytest.raises(ConnectionRefusedError):
            await client.ask(address, 80)
        lab.api.remove(SERVICE_CIDRS, "more", "")
        await until(False)


async def test_health_check_on_the_node(side: Side) -> None:
    lab = side.lab
    (server,) = await side.servers(1)
    fields: dict[str, object] = {
        "type": "LoadBalancer", "healthCheckNodePort": 31999, "ingress": (side.pool(),), **LOCAL
    }  # fmt: skip

    async def asked() -> tuple[int, int]:
        """Status and count, once the port is open."""
        for _ in range(400):
            try:
                sock = await lab.host.socket(socket.SOCK_STREAM, side.node)
                return await _get(sock, side.node, 31999)
            except ConnectionRefusedError:
                await lab.settle()
        raise AssertionError("the port was never opened")

    async with lab.proxy():
        side.add(server, (lab.host, "other"), **fields)
        assert await asked() == (200, 1)
        side.add((server, "other"), **fields)
        await lab.settle()
        assert await asked() == (503, 0)


async def _get(sock: socket.socket, host: str, port: int) -> tuple[int, int]:
    loop = asyncio.get_running_loop()
    with sock:
        await loop.sock_connect(sock, (host, port))
        await loop.sock_sendall(sock, b"GET / HTTP/1.1\r\n\r\n")
        answer = b""
        while part := await loop.sock_recv(sock, 4096):
            answer += part
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(body)["localEndpoints"]
