"""Packets through real namespaces and the kernel's rules."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
from collections import Counter

import pytest

from harness.lab import NODE, Lab, Place, endpoint, service, slice_of
from sampan.api.objects import Obj
from sampan.api.resources import ENDPOINT_SLICES, PODS, SERVICES

pytestmark = pytest.mark.root

WEB = [{"name": "", "port": 8080, "protocol": "TCP"}]
LEAVE_BY_THE_VETH = """
echo 1 > /proc/sys/net/ipv4/conf/all/route_localnet
ip addr flush dev lo
ip route add 127.0.0.1 via 169.254.1.1 dev eth0 src "$(hostname -I | cut -d' ' -f1)"
"""
DNS = [{"name": "", "port": 8080, "protocol": "UDP"}]


async def two_servers(lab: Lab) -> list[Place]:
    pods = [await lab.pod(), await lab.pod()]
    for pod in pods:
        await pod.serve(8080)
    return pods


async def led_to(sock: socket.socket, server: Place, address: tuple[str, int] | None = None) -> str:
    """Asks again and again until this server answers: conntrack forgets in a thread, when it gets to it."""
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(30):
        while True:
            await (loop.sock_sendto(sock, b"?", address) if address else loop.sock_sendall(sock, b"?"))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.2):
                    answer = (await loop.sock_recv(sock, 100)).decode()
                    if answer.split()[0] == server.ip:
                        return answer


async def answered_by(lab: Lab, server: Place) -> None:
    """Asks until the audit has repaired the table."""
    for _ in range(1000):
        with contextlib.suppress(ConnectionRefusedError, TimeoutError):
            if await lab.host.ask(lab.vip(20), 80, timeout_s=1) == f"{server.ip} {lab.inside.ip}":
                return
        await asyncio.sleep(0.01)
    raise AssertionError(f"{server.ip} never answered")


async def test_cluster_ip_from_pod_node_and_host_spreads_over_endpoints(lab: Lab) -> None:
    pods = await two_servers(lab)
    client = await lab.pod()
    lab.api.add(
        service("web", lab.vip(20), {"port": 80, "protocol": "TCP"}),
        slice_of("web", WEB, *(endpoint(pod.ip) for pod in pods)),
    )
    async with lab.proxy():
        for place in (client, lab.inside, lab.host):
            answered = Counter([(await place.ask(lab.vip(20), 80)).split()[0] for _ in range(40)])
            assert set(answered) == {pod.ip for pod in pods}, place.ip
        assert (await client.ask(lab.vip(20), 80)).split()[1] == client.ip


async def test_pod_reaches_itself_through_its_own_service(lab: Lab) -> None:
    pod = await lab.pod()
    await pod.serve(8080)
    lab.api.add(
        service("web", lab.vip(20), {"port": 80}),
        slice_of("web", WEB, endpoint(pod.ip)),
    )
    async with lab.proxy():
        assert await pod.ask(lab.vip(20), 80) == f"{pod.ip} {lab.inside.ip}"


async def test_node_port_answers_pod_node_and_host(lab: Lab) -> None:
    pods = await two_servers(lab)
    lab.api.add(
        service("web", lab.vip(20), {"port": 80, "nodePort": 30080}, type="NodePort"),
        slice_of("web", WEB, *(endpoint(pod.ip) for pod in pods)),
    )
    async with lab.proxy():
        for place in (pods[0], lab.inside, lab.host):
            assert (await place.ask(lab.inside.ip, 30080)).split()[0] in {pod.ip for pod in pods}


async def test_service_without_endpoints_refuses(lab: Lab) -> None:
    client = await lab.pod()
    lab.api.add(service("web", lab.vip(20), {"port": 80}))
    async with lab.proxy():
        for place in (client, lab.host, lab.inside):
            for port in (80, 81):  # 81: no such service port
                with pytest.raises(ConnectionRefusedError):
                    await place.ask(lab.vip(20), port)


async def test_node_port_without_endpoints_refuses_though_the_node_listens_there(lab: Lab) -> None:
    await lab.inside.serve(30080)
    lab.api.add(service("web", lab.vip(20), {"port": 80, "nodePort": 30080}, type="NodePort"))
    async with lab.proxy():
        with pytest.raises(ConnectionRefusedError):
            await lab.host.ask(lab.inside.ip, 30080)


async def test_reader_of_an_old_count_finds_an_endpoint_all_the_same(lab: Lab) -> None:
    """Between two look-ups of one packet the table may have changed: 16 endpoints counted, 1 left."""
    pod = await lab.pod()
    await pod.serve(8080)
    lab.api.add(service("web", lab.vip(20), {"port": 80}), slice_of("web", WEB, endpoint(pod.ip)))
    async with lab.proxy():
        await lab.node.load_nft(
            "delete element inet sampan svc { 1 }\nadd element inet sampan svc { 1 : 16 }\n"
        )
        for _ in range(20):
            assert (await lab.host.ask(lab.vip(20), 80)).split()[0] == pod.ip


async def test_local_traffic_policy_keeps_the_source_and_drops_without_local_endpoint(lab: Lab) -> None:
    pods = await two_servers(lab)
    lab.api.add(
        service(
            "web",
            lab.vip(20),
            {"port": 80, "nodePort": 30080},
            type="NodePort",
            externalTrafficPolicy="Local",
        ),
        slice_of("web", WEB, endpoint(pods[0].ip), endpoint(pods[1].ip, node="other")),
    )
    async with lab.proxy():
        for _ in range(10):
            assert await lab.host.ask(lab.inside.ip, 30080) == f"{pods[0].ip} {lab.host.ip}"
        from_pod = {(await pods[0].ask(lab.inside.ip, 30080)).split()[0] for _ in range(30)}
        assert from_pod == {pod.ip for pod in pods}
        lab.api.add(slice_of("web", WEB, endpoint(pods[1].ip, node="other")))
        await lab.settle()
        with pytest.raises(TimeoutError):
            await lab.host.ask(lab.inside.ip, 30080, timeout_s=0.3)


async def test_more_endpoints_than_prepared_chains(lab: Lab) -> None:
    pod = await lab.pod()
    ports = range(8080, 8080 + 20)
    for port in ports:
        await pod.serve(port)
    lab.api.add(
        service("web", lab.vip(20), {"port": 80}),
        *(
            slice_of("web", [{"port": port, "protocol": "TCP"}], endpoint(pod.ip), suffix=str(port))
            for port in ports
        ),
    )
    async with lab.proxy() as proxy:
        for _ in range(30):
            assert (await lab.host.ask(lab.vip(20), 80)).split()[0] == pod.ip
        assert await proxy.audit() == 0


async def test_endpoints_change_under_load_without_a_failure(lab: Lab) -> None:
    pods = await two_servers(lab)
    client = await lab.pod()
    both = slice_of("web", WEB, *(endpoint(pod.ip) for pod in pods))
    one = slice_of("web", WEB, endpoint(pods[0].ip))
    other = slice_of("web", WEB, endpoint(pods[1].ip))
    lab.api.add(service("web", lab.vip(20), {"port": 80}), both)
    asked = changes = 0

    async def load() -> None:
        nonlocal asked
        while asked < 1000 or changes < 200:
            assert await client.ask(lab.vip(20), 80)
            asked += 1

    async def change() -> None:
        nonlocal changes
        while asked < 1000 or changes < 200:
            for piece in (one, both, other, both):
                lab.api.add(piece)
                changes += 1
                await asyncio.sleep(0.002)

    async with lab.proxy() as proxy:
        async with asyncio.TaskGroup() as group:
            group.create_task(change())
            for _ in range(4):
                group.create_task(load())
        assert await proxy.audit() == 0


async def test_udp_client_moves_when_its_endpoint_goes(lab: Lab) -> None:
    pods = await two_servers(lab)
    client = await lab.pod()
    lab.api.add(
        service("dns", lab.vip(21), {"port": 53, "protocol": "UDP"}),
        slice_of("dns", DNS, endpoint(pods[0].ip)),
    )
    async with lab.proxy():
        with await client.socket(socket.SOCK_DGRAM) as sock:
            await asyncio.get_running_loop().sock_connect(sock, (lab.vip(21), 53))
            await led_to(sock, pods[0])
            lab.api.add(slice_of("dns", DNS, endpoint(pods[1].ip)))
            await led_to(sock, pods[1])


async def test_udp_client_of_a_node_port_that_came_later(lab: Lab) -> None:
    pod, client = await lab.pod(), await lab.pod()
    await pod.serve(8080)
    loop = asyncio.get_running_loop()
    async with lab.proxy():
        with await client.socket(socket.SOCK_DGRAM) as sock:
            sock.bind((client.ip, 0))
            await loop.sock_sendto(sock, b"?", (lab.inside.ip, 30053))
            lab.api.add(
                service(
                    "dns", lab.vip(21), {"port": 53, "protocol": "UDP", "nodePort": 30053}, type="NodePort"
                ),
                slice_of("dns", DNS, endpoint(pod.ip)),
            )
            await led_to(sock, pod, (lab.inside.ip, 30053))


async def test_udp_without_endpoints_is_refused_then_works(lab: Lab) -> None:
    pod, client = await lab.pod(), await lab.pod()
    await pod.serve(8080)
    loop = asyncio.get_running_loop()
    async with lab.proxy():
        with await client.socket(socket.SOCK_DGRAM) as sock:
            await loop.sock_connect(sock, (lab.vip(21), 53))
            await loop.sock_sendall(sock, b"?")
            with pytest.raises(OSError) as refused:
                async with asyncio.timeout(30):
                    await loop.sock_recv(sock, 100)
            assert refused.value.errno == errno.ECONNREFUSED
            lab.api.add(
                service("dns", lab.vip(21), {"port": 53, "protocol": "UDP"}),
                slice_of("dns", DNS, endpoint(pod.ip)),
            )
            await lab.settle()
            await loop.sock_sendall(sock, b"?")
            async with asyncio.timeout(30):
                assert (await loop.sock_recv(sock, 100)).startswith(pod.ip.encode())


async def test_restarted_proxy_keeps_the_table_and_connections_do_not_fail(lab: Lab) -> None:
    pods = await two_servers(lab)
    client = await lab.pod()
    lab.api.add(
        service("web", lab.vip(20), {"port": 80}),
        service("gone", lab.vip(22), {"port": 80}),
        slice_of("web", WEB, *(endpoint(pod.ip) for pod in pods)),
        slice_of("gone", WEB, endpoint(pods[0].ip)),
    )
    async with lab.proxy():
        assert await client.ask(lab.vip(22), 80)
    lab.api.remove(SERVICES, "gone", "default")
    lab.api.remove(ENDPOINT_SLICES, "gone-a", "default")
    stop = asyncio.Event()

    async def load() -> int:
        asked = 0
        while not stop.is_set():
            assert await client.ask(lab.vip(20), 80)
            asked += 1
        return asked

    async with asyncio.TaskGroup() as group:
        loads = [group.create_task(load()) for _ in range(3)]
        for _ in range(6):
            async with lab.proxy() as proxy:
                assert await proxy.audit() == 0
                with pytest.raises(ConnectionRefusedError):
                    await client.ask(lab.vip(22), 80)
        stop.set()
    assert sum(task.result() for task in loads) > 20


async def test_audit_mends_what_somebody_else_changed(lab: Lab) -> None:
    pods = await two_servers(lab)
    lab.api.add(
        service("web", lab.vip(20), {"port": 80}),
        slice_of("web", WEB, *(endpoint(pod.ip) for pod in pods)),
    )
    async with lab.proxy() as proxy:
        await lab.node.load_nft("flush map inet sampan ep4\n")
        assert await proxy.audit() == 2
        assert await lab.host.ask(lab.vip(20), 80)
        await lab.node.load_nft("flush map inet sampan ep4\n")
        # The next change is refused, which wakes the audit.
        lab.api.add(slice_of("web", WEB, endpoint(pods[0].ip)))
        await answered_by(lab, pods[0])


async def test_rules_of_another_version_are_replaced_in_one_transaction(lab: Lab) -> None:
    pods = await two_servers(lab)
    client = await lab.pod()
    lab.api.add(
        service("web", lab.vip(20), {"port": 80}),
        slice_of("web", WEB, *(endpoint(pod.ip) for pod in pods)),
    )
    async with lab.proxy():
        listing = await lab.node.execute(("nft", "list", "table", "inet", "sampan"))
        version = next(line.split()[1] for line in listing.splitlines() if "chain version_" in line)
        await lab.node.load_nft(f"delete chain inet sampan {version}\n")
    stop = asyncio.Event()

    async def load() -> None:
        while not stop.is_set():
            assert await client.ask(lab.vip(20), 80)

    async with asyncio.TaskGroup() as group:
        group.create_task(load())
        async with lab.proxy() as proxy:
            assert await proxy.audit() == 0
            assert version in await lab.node.execute(("nft", "list", "table", "inet", "sampan"))
        stop.set()


OLDER = """table inet sampan {
	map fe4 {
		type ipv4_addr . inet_proto . inet_service : mark
		elements = { VIP . tcp . 80 : 4711 }
	}
	map svc {
		type mark : mark
		elements = { 4711 : 3 }
	}
	chain services {
	}
}
"""


async def test_table_of_a_version_that_knew_less_is_replaced_and_its_keys_are_kept(lab: Lab) -> None:
    """Keys are the marks of flows that live on."""
    pods = await two_servers(lab)
    lab.api.add(
        service("web", lab.vip(20), {"port": 80}),
        slice_of("web", WEB, *(endpoint(pod.ip) for pod in pods)),
    )
    await lab.node.load_nft(OLDER.replace("VIP", lab.vip(20)))
    async with lab.proxy() as proxy:
        assert await lab.host.ask(lab.vip(20), 80)
        listing = await lab.node.execute(("nft", "list", "map", "inet", "sampan", "fe4"))
        assert f"{4711:#010x}" in listing
        assert await proxy.audit() == 0


def on_host_port(pod: Place, name: str, protocol: str = "TCP", **port: object) -> Obj:
    ports = [{"hostPort": 18080, "containerPort": 8080, "protocol": protocol, **port}]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default", "uid": name},
        "spec": {"nodeName": NODE, "containers": [{"name": "main", "ports": ports}]},
        "status": {"phase": "Running", "podIPs": [{"ip": pod.ip}]},
    }


async def test_host_port_answers_everywhere_and_the_pod_sees_who_asks(lab: Lab) -> None:
    server, client = await lab.pod(), await lab.pod()
    await server.serve(8080)
    lab.api.add(on_host_port(server, "one"))
    async with lab.proxy() as proxy:
        for place in (client, lab.host, lab.inside):
            assert await place.ask(lab.inside.ip, 18080) == f"{server.ip} {place.ip}"
        assert await lab.inside.ask("127.0.0.1", 18080) == f"{server.ip} {lab.inside.ip}"
        assert await server.ask(lab.inside.ip, 18080) == f"{server.ip} {lab.inside.ip}"
        assert await proxy.audit() == 0
        lab.api.remove(PODS, "one", "default")
        await lab.settle()
        for place, address in ((client, lab.inside.ip), (lab.host, lab.inside.ip), (lab.inside, "127.0.0.1")):
            with pytest.raises(ConnectionRefusedError):
                await place.ask(address, 18080)


async def test_one_port_is_another_pods_by_address_and_a_services_by_choice(lab: Lab) -> None:
    pods = [await lab.pod() for _ in range(3)]
    for pod in pods:
        await pod.serve(8080)
    lab.api.add(
        on_host_port(pods[0], "one", hostIP="127.0.0.1"), on_host_port(pods[1], "two", hostIP=lab.inside.ip)
    )
    web = service("web", lab.vip(20), {"port": 80, "nodePort": 18080}, type="NodePort")
    async with lab.proxy():
        assert (await lab.inside.ask("127.0.0.1", 18080)).split()[0] == pods[0].ip
        assert (await lab.host.ask(lab.inside.ip, 18080)).split()[0] == pods[1].ip
        lab.api.add(web, slice_of("web", WEB, endpoint(pods[2].ip)))
        await lab.settle()
        assert (await lab.host.ask(lab.inside.ip, 18080)).split()[0] == pods[2].ip
        lab.api.remove(SERVICES, "web", "default")
        await lab.settle()
        assert (await lab.host.ask(lab.inside.ip, 18080)).split()[0] == pods[1].ip


async def test_nobody_outside_reaches_the_nodes_loopback(lab: Lab) -> None:
    client = await lab.pod()
    await Place(lab, lab.inside.path, "127.0.0.1").serve(18080)
    command = ("nsenter", f"--net={client.path}", "sh", "-ec", LEAVE_BY_THE_VETH)
    assert await (await asyncio.create_subprocess_exec(*command)).wait() == 0
    assert await client.ask("127.0.0.1", 18080), "it would, without our rules"
    async with lab.proxy():
        with pytest.raises(TimeoutError):
            await client.ask("127.0.0.1", 18080, timeout_s=0.3)


async def test_udp_client_of_a_host_port_moves_to_the_next_pod(lab: Lab) -> None:
    pods = await two_servers(lab)
    async with lab.proxy():
        with await lab.inside.socket(socket.SOCK_DGRAM) as sock:
            sock.bind((lab.inside.ip, 0))
            for pod in pods:
                lab.api.add(on_host_port(pod, "one", "UDP"))
                answer = await led_to(sock, pod, (lab.inside.ip, 18080))
                assert answer == f"{pod.ip} {lab.inside.ip}"
