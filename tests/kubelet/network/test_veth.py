from __future__ import annotations

import asyncio
import functools
import json
import socket
import struct
from pathlib import Path

import pytest

from harness.lab import Lab, Place, lab_in
from sampan.kubelet.network import namespace
from sampan.kubelet.network.contract import NetworkFault, PodAddresses
from sampan.kubelet.network.node import NodeNamespace, ensure_node
from sampan.kubelet.network.plan import node_plan
from sampan.kubelet.network.veth import VethNetwork, next_free


def test_addresses_go_round_robin() -> None:
    offsets = range(2, 6)
    assert next_free(1, set(), offsets) == 2
    assert next_free(2, {3}, offsets) == 4
    assert next_free(5, set(), offsets) == 2
    assert next_free(4, {5, 2, 3}, offsets) == 4
    with pytest.raises(NetworkFault, match="all 4 are in use"):
        next_free(2, {2, 3, 4, 5}, offsets)


@pytest.mark.root
async def test_pods_reach_each_other_the_node_and_the_host(lab: Lab) -> None:
    one, two = await lab.pod(), await lab.pod()
    await one.serve(80)
    await lab.inside.serve(80)
    for row, pod in enumerate(one.ips):
        for place in (two, lab.inside, lab.host):
            assert await place.ask(pod, 80) == f"{pod} {place.ips[row]}"
        assert await one.ask(lab.inside.ips[row], 80) == f"{lab.inside.ips[row]} {pod}"


@pytest.mark.root
async def test_first_packets_of_a_new_pod_are_not_lost(lab: Lab) -> None:
    """A lost one is sent again after a second: the kernel attaches a new veth's queue too late for it."""
    again = 0
    for _ in range(25):
        pod = await lab.pod()
        ways = [(lab.inside, ip) for ip in pod.ips] + [(pod, ip) for ip in lab.inside.ips]
        for place, address in ways:
            with await place.socket(socket.SOCK_STREAM, address) as sock:
                with pytest.raises(ConnectionRefusedError):
                    await asyncio.get_running_loop().sock_connect(sock, (address, 9))
                info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)
                again += struct.unpack_from("=I", info, 100)[0]  # tcpi_total_retrans
    assert again <= 1, "one may come of a processor that stood still for a second"


@pytest.mark.root
async def test_attach_twice_is_the_same_address(lab: Lab) -> None:
    pod = await lab.pod()
    assert (await lab.network.attach("uid-1", pod.path)).ips == pod.ips
    assert lab.network.addresses("uid-1") is not None
    assert lab.network.addresses("uid-2") is None


@pytest.mark.root
async def test_network_survives_a_restart(lab: Lab) -> None:
    one, two = await lab.pod(), await lab.pod()
    await one.serve(80)
    again = VethNetwork(lab.node, lab.root / "addresses")
    await again.open()
    assert (await again.attach("uid-1", one.path)).ips == one.ips
    assert await two.ask(one.ip, 80)
    lab.network.close()
    lab.network = again
    assert (await lab.pod()).ip not in {one.ip, two.ip}


@pytest.mark.root
async def test_address_without_a_veth_is_free_again_after_a_restart(lab: Lab) -> None:
    (lab.root / "addresses" / "10.99.0.9").write_text("")  # cut off while it was written
    held = lab.root / "addresses" / str(lab.family.pod_cidr[9])
    held.write_text('{"uid": "uid-9", "inode": 7}')
    again = VethNetwork(lab.node, lab.root / "addresses")
    await again.open()
    again.close()
    assert again.addresses("uid-9") is None
    assert not held.exists()


@pytest.mark.root
async def test_new_namespace_of_the_same_pod_keeps_the_address(lab: Lab) -> None:
    one, two = await lab.pod(), await lab.pod()
    namespace.unpin(Path(one.path))
    await asyncio.to_thread(namespace.create, Path(one.path))
    assert (await lab.network.attach("uid-1", one.path)).ips == one.ips
    await one.serve(80)
    assert await two.ask(one.ip, 80)


@pytest.mark.root
async def test_detached_address_is_unreachable_and_rests(lab: Lab) -> None:
    one, two = await lab.pod(), await lab.pod()
    await one.serve(80)
    await lab.network.detach("uid-1")
    await lab.network.detach("uid-1")
    with pytest.raises(OSError, match=r"Errno 113"):
        await two.ask(one.ip, 80)
    assert (await lab.pod()).ip not in {one.ip, two.ip}


@pytest.mark.root
async def test_attach_after_detach_in_the_same_namespace(lab: Lab) -> None:
    one, two = await lab.pod(), await lab.pod()
    await lab.network.detach("uid-1")
    one.ips = (await lab.network.attach("uid-9", one.path)).ips
    one.ip = one.ips[0]
    await one.serve(80)
    assert await two.ask(one.ip, 80)


@pytest.mark.root
async def test_pod_cannot_send_with_another_address(lab: Lab) -> None:
    one, two, three = await lab.pod(), await lab.pod(), await lab.pod()
    for row, prefix in enumerate((32, 128)):
        address, stolen = one.ips[row], three.ips[row]
        enter = ("nsenter", f"--net={two.path}", "ip", "addr", "add", f"{stolen}/{prefix}", "dev", "eth0")
        await lab.node.execute((*enter, "nodad") if prefix == 128 else enter)
        listener, sender, honest = [
            await place.socket(socket.SOCK_DGRAM, address) for place in (one, two, two)
        ]
        with listener, sender, honest:
            listener.bind((address, 81))
            sender.bind((stolen, 0))
            honest.bind((two.ips[row], 0))
            sender.sendto(b"forged", (address, 81))
            honest.sendto(b"honest", (address, 81))
            async with asyncio.timeout(30):
                assert await asyncio.get_running_loop().sock_recv(listener, 100) == b"honest"


@pytest.mark.root
async def test_pod_from_before_the_second_family_keeps_what_it_has(tmp_path: Path) -> None:
    async with lab_in(tmp_path, families=(4,)) as lab:
        old = await lab.pod()
        assert len(old.ips) == 1
        await old.serve(80)
        held = lab.root / "addresses" / old.ip
        held.write_text(json.dumps({"uid": "uid-1", "inode": json.loads(held.read_text())["inode"]}))
        node = await ensure_node(
            lab.node.plan.name, lab.node.plan.pin, lab.root / "network.json", families=(4, 6)
        )
        network = VethNetwork(node, lab.root / "addresses")
        await network.open()
        lab.network.close()
        lab.node.close()
        lab.network, lab.node = network, node
        assert (await network.attach("uid-1", old.path)).ips == old.ips
        new = await lab.pod()
        await new.serve(80)
        assert await new.ask(old.ip, 80) == f"{old.ip} {new.ip}"
        assert await Place(lab, "", "").ask(new.ips[1], 80)


@pytest.mark.root
@pytest.mark.parametrize("families", [(6,), (6, 4)])
async def test_ipv6_first_or_alone(tmp_path: Path, families: tuple[int, ...]) -> None:
    async with lab_in(tmp_path, families=families) as lab:
        one, two = await lab.pod(), await lab.pod()
        assert [6 if ":" in ip else 4 for ip in one.ips] == list(families)
        await one.serve(80)
        for row, ip in enumerate(one.ips):
            assert await two.ask(ip, 80) == f"{ip} {two.ips[row]}"
            assert await lab.host.ask(ip, 80) == f"{ip} {lab.host.ips[row]}"
        again = VethNetwork(lab.node, lab.root / "addresses")
        await again.open()
        again.close()
        assert again.addresses("uid-1") == PodAddresses(one.ips)


@pytest.mark.root
async def test_primary_family_that_the_kernel_has_no_more(tmp_path: Path) -> None:
    async with lab_in(tmp_path, families=(6, 4)) as lab:
        pod = await lab.pod()
        plan = node_plan(lab.node.plan.index, lab.node.plan.name, lab.node.plan.pin, families=(4,))
        left = NodeNamespace(plan)
        again = VethNetwork(left, lab.root / "addresses")
        await again.open()
        assert (await again.attach("uid-1", pod.path)).ips == pod.ips
        await again.detach("uid-1")
        again.close()
        left.close()


@pytest.mark.root
async def test_namespace_that_began_without_ipv6_gets_it(lab: Lab) -> None:
    pin = lab.root / "without"
    await asyncio.to_thread(namespace.create, pin)
    lab.pods.append(pin)
    for scope in ("default", "all"):
        path = Path("/proc/sys/net/ipv6/conf", scope, "disable_ipv6")
        await lab.node.traveller.run(pin, functools.partial(path.write_text, "1"))
    pod = Place(lab, str(pin), *(await lab.network.attach("uid-w", str(pin))).ips)
    await pod.serve(80)
    for ip in pod.ips:
        assert (await lab.host.ask(ip, 80)).startswith(ip)


@pytest.mark.root
async def test_no_namespace_to_attach_to(lab: Lab, tmp_path: Path) -> None:
    with pytest.raises(NetworkFault, match="cannot set up the network of Pod uid-x"):
        await lab.network.attach("uid-x", str(tmp_path / "gone"))
    await lab.network.detach("uid-x")
