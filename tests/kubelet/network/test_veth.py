from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest

from harness.lab import Lab
from sampan.kubelet.network import namespace
from sampan.kubelet.network.contract import NetworkFault
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
    assert await two.ask(one.ip, 80) == f"{one.ip} {two.ip}"
    assert await lab.inside.ask(one.ip, 80) == f"{one.ip} {lab.inside.ip}"
    assert await lab.host.ask(one.ip, 80) == f"{one.ip} {lab.host.ip}"
    await lab.inside.serve(80)
    assert await one.ask(lab.inside.ip, 80) == f"{lab.inside.ip} {one.ip}"


@pytest.mark.root
async def test_first_packets_of_a_new_pod_are_not_lost(lab: Lab) -> None:
    """A lost one is sent again after a second: the kernel attaches a new veth's queue too late for it."""
    for _ in range(25):
        pod = await lab.pod()
        for place, address in ((lab.inside, pod.ip), (pod, lab.inside.ip)):
            with pytest.raises(ConnectionRefusedError):
                await place.ask(address, 9, timeout_s=0.5)


@pytest.mark.root
async def test_attach_twice_is_the_same_address(lab: Lab) -> None:
    pod = await lab.pod()
    assert (await lab.network.attach("uid-1", pod.path)).ips == (pod.ip,)
    assert lab.network.addresses("uid-1") is not None
    assert lab.network.addresses("uid-2") is None


@pytest.mark.root
async def test_network_survives_a_restart(lab: Lab) -> None:
    one, two = await lab.pod(), await lab.pod()
    await one.serve(80)
    again = VethNetwork(lab.node, lab.root / "addresses")
    await again.open()
    assert (await again.attach("uid-1", one.path)).ips == (one.ip,)
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
    assert (await lab.network.attach("uid-1", one.path)).ips == (one.ip,)
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
    one.ip = (await lab.network.attach("uid-9", one.path)).ips[0]
    await one.serve(80)
    assert await two.ask(one.ip, 80)


@pytest.mark.root
async def test_pod_cannot_send_with_another_address(lab: Lab) -> None:
    one, two, three = await lab.pod(), await lab.pod(), await lab.pod()
    await one.serve(80)
    await lab.node.execute(
        ("nsenter", f"--net={two.path}", "ip", "addr", "add", f"{three.ip}/32", "dev", "eth0")
    )
    listener = await one.socket(socket.SOCK_DGRAM)
    sender = await two.socket(socket.SOCK_DGRAM)
    honest = await two.socket(socket.SOCK_DGRAM)
    with listener, sender, honest:
        listener.bind((one.ip, 81))
        sender.bind((three.ip, 0))
        honest.bind((two.ip, 0))
        sender.sendto(b"forged", (one.ip, 81))
        honest.sendto(b"honest", (one.ip, 81))
        async with asyncio.timeout(1):
            assert await asyncio.get_running_loop().sock_recv(listener, 100) == b"honest"


@pytest.mark.root
async def test_no_namespace_to_attach_to(lab: Lab, tmp_path: Path) -> None:
    with pytest.raises(NetworkFault, match="cannot set up the network of Pod uid-x"):
        await lab.network.attach("uid-x", str(tmp_path / "gone"))
    await lab.network.detach("uid-x")
