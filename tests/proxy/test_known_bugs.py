"""What went wrong in other Service proxies once, by its known name: none of it happens here.

Twins elsewhere: affinity to a dead endpoint (`test_affinity`), hairpin (`test_fields`), a host port beside a
node port and a UDP client of a host port that moves (`test_traffic`).
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from harness.lab import Lab, Place, endpoint, service, slice_of
from sampan.api.objects import Obj
from sampan.api.resources import ENDPOINT_SLICES, SERVICES

pytestmark = pytest.mark.root

TCP = [{"name": "", "port": 8080, "protocol": "TCP"}]
UDP = [{"name": "", "port": 8080, "protocol": "UDP"}]
LEAVING = {"ready": False, "serving": True, "terminating": True}


@pytest.fixture(params=[0, 1], ids=["IPv4", "IPv6"])
def family(request: pytest.FixtureRequest, lab: Lab) -> int:
    if request.param >= len(lab.node.plan.families):
        pytest.skip("the kernel has no IPv6")
    return int(request.param)


class Udp:
    """A client that keeps its socket, and so its conntrack entry, whatever happens to the Service."""

    def __init__(self, lab: Lab, family: int, sock: socket.socket) -> None:
        self._lab, self._family, self._sock = lab, family, sock

    async def ask(self, address: str, port: int, timeout_s: float = 0.2) -> str:
        """Who answered; "refused" or "" for nobody."""
        loop = asyncio.get_running_loop()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                try:
                    await loop.sock_sendto(self._sock, b"?", (address, port))
                    return (await loop.sock_recv(self._sock, 100)).decode().split()[0]
                except OSError as error:
                    if error.errno not in (errno.ECONNREFUSED, errno.EPERM):
                        raise
                    return "refused"
        return ""

    async def until(self, wanted: set[str], address: str, port: int) -> str:
        """Conntrack forgets in a thread, when it gets to it; what counts is that the client does move."""
        for _ in range(500):
            if (answer := await self.ask(address, port)) in wanted:
                return answer
            await asyncio.sleep(0.01)
        raise AssertionError(f"{address}:{port} is not answered by {wanted}, but: {answer!r}")


@contextlib.asynccontextmanager
async def udp_client(lab: Lab, family: int, place: Place) -> AsyncIterator[Udp]:
    kind = (socket.AF_INET, socket.AF_INET6)[family]
    with await place.socket(socket.SOCK_DGRAM, place.ips[family]) as sock:
        sock.bind((place.ips[family], 0))
        # Errors that come back by ICMP are told to the next call.
        option = ((socket.IPPROTO_IP, 11), (socket.IPPROTO_IPV6, 25))[family]
        assert sock.family == kind
        sock.setsockopt(*option, 1)
        yield Udp(lab, family, sock)


async def servers(lab: Lab, count: int) -> list[Place]:
    pods = [await lab.pod() for _ in range(count)]
    for pod in pods:
        await pod.serve(8080)
    return pods


def vip(lab: Lab, family: int, n: int) -> str:
    return str(lab.node.plan.families[family].service_cidr[n])


def udp_service(name: str, address: str, node_port: int = 0, **spec: object) -> Obj:
    port: Obj = {"port": 53, "protocol": "UDP"} | ({"nodePort": node_port} if node_port else {})
    return service(name, address, port, **{"type": "NodePort" if node_port else "ClusterIP", **spec})


def slice_for(name: str, family: int, *ends: Obj, ports: list[Obj] = UDP, suffix: str = "a") -> Obj:
    return slice_of(name, ports, *ends, suffix=suffix) | {"addressType": ("IPv4", "IPv6")[family]}


async def test_stale_udp_after_endpoint_removal(lab: Lab, family: int) -> None:
    one, other = await servers(lab, 2)
    client = await lab.pod()
    lab.api.add(udp_service("dns", vip(lab, family, 21)), slice_for("dns", family, endpoint(one.ips[family])))
    async with lab.proxy(), udp_client(lab, family, client) as udp:
        to = vip(lab, family, 21), 53
        await udp.until({one.ips[family]}, *to)
        lab.api.add(slice_for("dns", family, endpoint(other.ips[family])))
        await udp.until({other.ips[family]}, *to)
        lab.api.add(slice_for("dns", family))
        await udp.until({"refused"}, *to)
        lab.api.add(slice_for("dns", family, endpoint(one.ips[family])))
        await udp.until({one.ips[family]}, *to)


async def test_service_recreated_with_another_ip(lab: Lab, family: int) -> None:
    (server,) = await servers(lab, 1)
    client = await lab.pod()
    piece = slice_for("dns", family, endpoint(server.ips[family]))
    lab.api.add(udp_service("dns", vip(lab, family, 21)), piece)
    async with lab.proxy(), udp_client(lab, family, client) as udp:
        await udp.until({server.ips[family]}, vip(lab, family, 21), 53)
        lab.api.remove(SERVICES, "dns", "default")
        lab.api.add(udp_service("dns", vip(lab, family, 22)))
        await udp.until({"refused"}, vip(lab, family, 21), 53)
        await udp.until({server.ips[family]}, vip(lab, family, 22), 53)


async def test_node_port_reuse(lab: Lab, family: int) -> None:
    one, other = await servers(lab, 2)
    client = await lab.pod()
    node = lab.inside.ips[family]
    lab.api.add(
        udp_service("old", vip(lab, family, 21), 30053),
        slice_for("old", family, endpoint(one.ips[family])),
        udp_service("new", vip(lab, family, 22)),
        slice_for("new", family, endpoint(other.ips[family])),
    )
    async with lab.proxy(), udp_client(lab, family, client) as udp:
        await udp.until({one.ips[family]}, node, 30053)
        # The old Service stays, with its endpoints: only its port passes on.
        lab.api.add(udp_service("old", vip(lab, family, 21), 30054))
        lab.api.add(udp_service("new", vip(lab, family, 22), 30053))
        await udp.until({other.ips[family]}, node, 30053)
        await udp.until({one.ips[family]}, node, 30054)


@pytest.mark.parametrize("kind", ["load balancer", "external IP"])
async def test_external_address_removed_and_given_again(lab: Lab, family: int, kind: str) -> None:
    (server,) = await servers(lab, 1)
    client = await lab.pod()
    address = str(lab.node.plan.families[family].load_balancers[0][3])
    without = udp_service("dns", vip(lab, family, 21), type="LoadBalancer")
    given = udp_service("dns", vip(lab, family, 21), type="LoadBalancer")
    if kind == "external IP":
        given["spec"]["externalIPs"] = [address]
    else:
        given["status"] = {"loadBalancer": {"ingress": [{"ip": address}]}}
    lab.api.add(given, slice_for("dns", family, endpoint(server.ips[family])))
    async with lab.proxy() as proxy, udp_client(lab, family, client) as udp:
        await udp.until({server.ips[family]}, address, 53)
        lab.api.add(without)
        await udp.until({"refused"}, address, 53)
        lab.api.add(given)
        await udp.until({server.ips[family]}, address, 53)
        assert await proxy.audit() == 0


async def test_udp_client_that_sent_before_the_external_address_was_a_services(lab: Lab, family: int) -> None:
    """Its flow went to the world outside, and would go there as long as the client goes on."""
    (server,) = await servers(lab, 1)
    client = await lab.pod()
    address = ("198.18.9.9", "2001:db8:9::9")[family]
    async with lab.proxy(), udp_client(lab, family, client) as udp:
        await udp.ask(address, 53)
        lab.api.add(
            udp_service("dns", vip(lab, family, 21), externalIPs=[address]),
            slice_for("dns", family, endpoint(server.ips[family])),
        )
        await udp.until({server.ips[family]}, address, 53)


async def test_tcp_flows_are_never_flushed(lab: Lab) -> None:
    """Who is connected to an endpoint that leaves stays connected, also when UDP of the same port moves."""
    loop = asyncio.get_running_loop()
    server, client = await lab.pod(), await lab.pod()
    both = [{"name": name, "port": 80, "protocol": name.upper()} for name in ("tcp", "udp")]
    ports = [{**port, "port": 8080} for port in both]
    lab.api.add(service("web", lab.vip(20), *both), slice_of("web", ports, endpoint(server.ip)))
    with await server.socket(socket.SOCK_STREAM) as listener:
        listener.bind((server.ip, 8080))
        listener.listen()
        async with lab.proxy():
            with await client.socket(socket.SOCK_STREAM) as sock:
                await loop.sock_connect(sock, (lab.vip(20), 80))
                accepted, _ = await loop.sock_accept(listener)
                lab.api.add(slice_of("web", ports))
                lab.api.remove(SERVICES, "web", "default")
                await lab.settle()
                for here, there in ((sock, accepted), (accepted, sock)):
                    await loop.sock_sendall(here, b"still here")
                    async with asyncio.timeout(30):
                        assert await loop.sock_recv(there, 100) == b"still here"
                accepted.close()
                with pytest.raises(ConnectionRefusedError):
                    await client.ask(lab.vip(20), 80)


async def test_all_endpoints_terminating(lab: Lab, family: int) -> None:
    """They serve as a last resort; the first that is ready takes over; local policy has its own resort."""
    one, other = await servers(lab, 2)
    svc = service(
        "web",
        vip(lab, family, 20),
        {"port": 80, "nodePort": 30080},
        type="NodePort",
        externalTrafficPolicy="Local",
    )

    def piece(*ends: Obj) -> Obj:
        return slice_for("web", family, *ends, ports=TCP)

    async def met(address: str, port: int) -> set[str]:
        return {(await lab.host.ask(address, port)).split()[0] for _ in range(32)}

    inside, outside = (vip(lab, family, 20), 80), (lab.inside.ips[family], 30080)
    leaving = [endpoint(pod.ips[family], **LEAVING) for pod in (one, other)]
    lab.api.add(svc, piece(*leaving))
    async with lab.proxy():
        everybody = {one.ips[family], other.ips[family]}
        assert await met(*inside) == await met(*outside) == everybody
        lab.api.add(piece(leaving[0], endpoint(other.ips[family])))
        await lab.settle()
        assert await met(*inside) == await met(*outside) == {other.ips[family]}
        # The only ready one is on another node: here, the one that terminates still serves.
        lab.api.add(piece(leaving[0], endpoint(other.ips[family], node="other")))
        await lab.settle()
        assert await met(*inside) == {other.ips[family]}
        assert await met(*outside) == {one.ips[family]}


async def test_duplicate_endpoints_in_two_slices(lab: Lab) -> None:
    """Each counts once, however they come and go: it stays until the last slice lets go."""
    (server,) = await servers(lab, 1)
    same = [slice_of("web", TCP, endpoint(server.ip), suffix=suffix) for suffix in "ab"]
    lab.api.add(service("web", lab.vip(20), {"port": 80}), *same)
    async with lab.proxy() as proxy:
        assert await lab.host.ask(lab.vip(20), 80)
        for name in ("web-a", "web-b"):
            assert await lab.host.ask(lab.vip(20), 80)
            lab.api.remove(ENDPOINT_SLICES, name, "default")
            await lab.settle()
        with pytest.raises(ConnectionRefusedError):
            await lab.host.ask(lab.vip(20), 80)
        assert await proxy.audit() == 0


async def test_slices_out_of_order(lab: Lab) -> None:
    """Slices before their Service; the new slice before the old one goes; the Service goes first."""
    one, other = await servers(lab, 2)
    async with lab.proxy() as proxy:
        lab.api.add(slice_of("web", TCP, endpoint(one.ip)))
        await lab.settle()
        lab.api.add(service("web", lab.vip(20), {"port": 80}))
        await lab.settle()
        assert (await lab.host.ask(lab.vip(20), 80)).split()[0] == one.ip
        lab.api.add(slice_of("web", TCP, endpoint(other.ip), suffix="b"))
        await lab.settle()
        lab.api.remove(ENDPOINT_SLICES, "web-a", "default")
        await lab.settle()
        assert (await lab.host.ask(lab.vip(20), 80)).split()[0] == other.ip
        lab.api.remove(SERVICES, "web", "default")
        lab.api.add(slice_of("web", TCP, endpoint(one.ip), suffix="b"))
        await lab.settle()
        with pytest.raises(ConnectionRefusedError):
            await lab.host.ask(lab.vip(20), 80)
        lab.api.add(service("web", lab.vip(20), {"port": 80}))
        await lab.settle()
        assert (await lab.host.ask(lab.vip(20), 80)).split()[0] == one.ip
        assert await proxy.audit() == 0


async def test_address_family_mismatch(lab: Lab) -> None:
    """What is of the other family is passed over, and spoils nothing of its own."""
    (server,) = await servers(lab, 1)
    svc = service(
        "web",
        lab.vip(20),
        {"port": 80},
        type="LoadBalancer",
        externalIPs=["2001:db8::1"],
        loadBalancerSourceRanges=["2001:db8::/32"],
    )
    svc["status"] = {"loadBalancer": {"ingress": [{"ip": "2001:db8::2"}]}}
    six = slice_of("web", TCP, endpoint("2001:db8::3"), suffix="six") | {"addressType": "IPv6"}
    names = slice_of("web", TCP, endpoint("example.com"), suffix="fqdn") | {"addressType": "FQDN"}
    lab.api.add(svc, six, names, slice_of("web", TCP, endpoint(server.ip)))
    async with lab.proxy() as proxy:
        assert (await lab.host.ask(lab.vip(20), 80)).split()[0] == server.ip
        assert await proxy.audit() == 0


async def test_same_port_with_two_protocols(lab: Lab) -> None:
    tcp, udp = await servers(lab, 2)
    ports = [{"name": name, "port": 53, "protocol": name.upper()} for name in ("tcp", "udp")]
    lab.api.add(
        service("dns", lab.vip(21), *ports),
        slice_of("dns", [{**ports[0], "port": 8080}], endpoint(tcp.ip), suffix="t"),
        slice_of("dns", [{**ports[1], "port": 8080}], endpoint(udp.ip), suffix="u"),
    )
    client = await lab.pod()
    async with lab.proxy(), udp_client(lab, 0, client) as asking:
        assert (await client.ask(lab.vip(21), 53)).split()[0] == tcp.ip
        assert await asking.until({udp.ip}, lab.vip(21), 53)


async def test_node_ip_changed(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """The node comes back with another address: rules that named the old one are replaced, clients kept."""
    (server,) = await servers(lab, 1)
    old = lab.config()
    outdated = replace(old, node_ips=("192.0.2.77", *old.node_ips[1:]))
    lab.api.add(
        service("web", lab.vip(20), {"port": 80}, sessionAffinity="ClientIP"),
        slice_of("web", TCP, endpoint(server.ip)),
    )
    monkeypatch.setattr(lab, "config", lambda: outdated)
    async with lab.proxy():
        assert "192.0.2.77" in await lab.node.execute(("nft", "list", "chain", "inet", "sampan", "post"))
    monkeypatch.setattr(lab, "config", lambda: old)
    async with lab.proxy() as proxy:
        assert await lab.host.ask(lab.vip(20), 80) == f"{server.ip} {lab.inside.ip}"
        assert "192.0.2.77" not in await lab.node.execute(("nft", "list", "chain", "inet", "sampan", "post"))
        assert await proxy.audit() == 0


@pytest.mark.parametrize("first", ["victim", "thief"])
async def test_cve_2020_8554_external_ip_that_is_another_services_cluster_ip(lab: Lab, first: str) -> None:
    """Nobody gets another Service's traffic by naming its address, whoever is known first."""
    honest, evil = await servers(lab, 2)
    thief = service(
        "a-thief", lab.vip(30), {"port": 80}, type="LoadBalancer", externalIPs=[lab.vip(20), lab.vip(77)]
    )
    thief["status"] = {"loadBalancer": {"ingress": [{"ip": lab.vip(20)}]}}
    theirs = [thief, slice_of("a-thief", TCP, endpoint(evil.ip))]
    ours = [service("web", lab.vip(20), {"port": 80}), slice_of("web", TCP, endpoint(honest.ip))]
    client = await lab.pod()
    async with lab.proxy():
        for objects in (ours, theirs) if first == "victim" else (theirs, ours):
            lab.api.add(*objects)
            await lab.settle()
        for place in (client, lab.host, lab.inside):
            for _ in range(8):
                assert (await place.ask(lab.vip(20), 80)).split()[0] == honest.ip
        # An address of the range that is nobody's yet cannot be taken either, the cluster's DNS least.
        with pytest.raises(ConnectionRefusedError):
            await client.ask(lab.vip(77), 80)
        assert (await client.ask(lab.vip(30), 80)).split()[0] == evil.ip


async def test_cve_2020_8558_loopback_of_the_node_from_the_same_network(lab: Lab) -> None:
    """`route_localnet` is on for host ports; packets to 127.0.0.0/8 that come by a wire are dropped first."""
    await Place(lab, lab.inside.path, "127.0.0.1").serve(18080)
    client = await lab.pod()
    route = "ip addr flush dev lo; ip route add 127.0.0.1 via 169.254.1.1 dev eth0"
    script = f"echo 1 > /proc/sys/net/ipv4/conf/all/route_localnet; {route} src {client.ip}"
    async with lab.proxy():
        command = ("nsenter", f"--net={client.path}", "sh", "-ec", script)
        assert await (await asyncio.create_subprocess_exec(*command)).wait() == 0
        assert await lab.inside.ask("127.0.0.1", 18080)
        with pytest.raises(TimeoutError):
            await client.ask("127.0.0.1", 18080, timeout_s=0.3)
