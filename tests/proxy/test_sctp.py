"""SCTP by the rules alone: the kernel may have no SCTP sockets, so packets are made and read by hand."""

from __future__ import annotations

import asyncio
import socket
import struct

import pytest

from harness.lab import Lab, Place, endpoint, service, slice_of

pytestmark = pytest.mark.root

SCTP = 132
PORTS = [{"name": "", "port": 8080, "protocol": "SCTP"}]
PORT = {"port": 80, "nodePort": 30080, "protocol": "SCTP"}


def crc32c(data: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def init(source: int, destination: int) -> bytes:
    """The first packet of an association (RFC 9260): header and INIT chunk."""
    chunk = struct.pack(">BBHIIHHI", 1, 0, 20, 0x01020304, 65_536, 1, 1, 7)
    ports = struct.pack(">HHI", source, destination, 0)
    crc = crc32c(ports + bytes(4) + chunk)
    return ports + struct.pack("<I", crc) + chunk


async def raw(lab: Lab, place: Place) -> socket.socket:
    if not place.path:
        return socket.socket(socket.AF_INET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, SCTP)
    return await lab.node.traveller.socket(place.path, socket.AF_INET, socket.SOCK_RAW, SCTP)


async def arrives(
    lab: Lab, client: Place, server: Place, address: str, port: int, within_s: float = 30
) -> tuple[str, int]:
    """Sends an INIT; from where and to which port it came to the server, its checksum being right."""
    loop = asyncio.get_running_loop()
    with await raw(lab, client) as sending, await raw(lab, server) as receiving:
        sending.bind((client.ip, 0))
        await loop.sock_sendto(sending, init(40_000, port), (address, 0))
        async with asyncio.timeout(within_s):
            while True:
                packet = await loop.sock_recv(receiving, 2000)
                data = packet[(packet[0] & 15) * 4 :]
                if data[12] == 1:
                    break
    source, destination, tag = struct.unpack_from(">HHI", data)
    (crc,) = struct.unpack_from("<I", data, 8)
    assert crc == crc32c(struct.pack(">HHI", source, destination, tag) + bytes(4) + data[12:])
    return socket.inet_ntoa(packet[12:16]), destination


async def test_sctp_goes_to_its_endpoint_by_cluster_ip_and_node_port(lab: Lab) -> None:
    server, client = await lab.pod(), await lab.pod()
    lab.api.add(
        service("web", lab.vip(20), PORT, type="NodePort"), slice_of("web", PORTS, endpoint(server.ip))
    )
    async with lab.proxy() as proxy:
        assert await arrives(lab, client, server, lab.vip(20), 80) == (client.ip, 8080)
        assert await arrives(lab, lab.host, server, lab.inside.ip, 30080) == (lab.inside.ip, 8080)
        assert await proxy.audit() == 0


async def test_same_port_of_another_protocol_is_another_service_port(lab: Lab) -> None:
    server, client = await lab.pod(), await lab.pod()
    await server.serve(8080)
    both = [{"name": "s", "port": 80, "protocol": "SCTP"}, {"name": "t", "port": 80, "protocol": "TCP"}]
    only = [{"name": "t", "port": 8080, "protocol": "TCP"}]
    lab.api.add(service("web", lab.vip(20), *both), slice_of("web", only, endpoint(server.ip)))
    async with lab.proxy():
        assert await client.ask(lab.vip(20), 80)
        with pytest.raises(TimeoutError):
            await arrives(lab, client, server, lab.vip(20), 80, within_s=1)
