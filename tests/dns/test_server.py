"""The server on loopback: UDP and TCP, its own zone and the rest of the world."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from sampan.api.resources import NAMESPACES, SERVICES
from sampan.client.client import Client
from sampan.client.fake import FakeTransport
from sampan.client.informers import Informers
from sampan.dns import wire
from sampan.dns.forward import Forwarder, Resolvers
from sampan.dns.server import DnsServer


def question(name: str, kind: int = wire.A) -> bytes:
    return (
        struct.pack("!HHHHHH", 7, 0x0100, 1, 0, 0, 0) + wire.encode_name(name) + struct.pack("!HH", kind, 1)
    )


class Upstream(asyncio.DatagramProtocol):
    """A resolver that knows one name."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        query = wire.parse_query(data)
        record = wire.Record(query.name, wire.A, 60, b"\x05\x06\x07\x08")
        self.transport.sendto(wire.build_answer(query, wire.NOERROR, [record]), addr)  # type: ignore[attr-defined]


class FixedResolvers(Resolvers):
    def __init__(self, port: int) -> None:
        super().__init__(Path("/nonexistent"))
        self.port = port

    def servers(self) -> list[tuple[str, int]]:
        return [("127.0.0.1", self.port)]


@asynccontextmanager
async def serving() -> AsyncIterator[tuple[int, Client]]:
    client = Client(FakeTransport())
    await client.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}})
    informers = Informers(client)
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.bind(("127.0.0.1", 0))
    tcp = socket.socket()
    tcp.bind(udp.getsockname())
    upstream, _ = await asyncio.get_running_loop().create_datagram_endpoint(
        Upstream, local_addr=("127.0.0.1", 0)
    )
    forwarder = Forwarder(FixedResolvers(upstream.get_extra_info("sockname")[1]))
    server = DnsServer(informers, [udp], [tcp], forwarder)
    tasks = [asyncio.create_task(server.run()), asyncio.create_task(informers.run())]
    await asyncio.sleep(0)
    await informers.wait_synced()
    try:
        yield udp.getsockname()[1], client
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        upstream.close()


async def ask(port: int, packet: bytes) -> bytes:
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        await loop.sock_connect(sock, ("127.0.0.1", port))
        await loop.sock_sendall(sock, packet)
        async with asyncio.timeout(5):
            return await loop.sock_recv(sock, 4096)


def web(ip: str) -> dict[str, object]:
    spec = {"type": "ClusterIP", "clusterIP": ip, "ports": [{"port": 80}]}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "web", "namespace": "shop"},
        "spec": spec,
    }


async def test_answer_follows_the_service() -> None:
    async with serving() as (port, client):
        assert (await ask(port, question("web.shop.svc.cluster.local")))[3] & 15 == wire.NXDOMAIN
        await client.create(SERVICES, web("10.96.0.9"))
        for _ in range(100):
            reply = await ask(port, question("web.shop.svc.cluster.local"))
            if reply[3] & 15 == wire.NOERROR:
                break
            await asyncio.sleep(0.001)
        assert wire.read_records(reply, wire.A) == [(5, b"\x0a\x60\x00\x09")]


async def test_the_rest_goes_to_the_hosts_resolver() -> None:
    async with serving() as (port, _):
        reply = await ask(port, question("example.com"))
        assert wire.read_records(reply, wire.A) == [(60, b"\x05\x06\x07\x08")]
        assert reply[:2] == b"\x00\x07"


async def test_tcp_answers_too_and_garbage_does_not_stop_it() -> None:
    async with serving() as (port, client):
        await client.create(SERVICES, web("10.96.0.9"))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.sendto(b"\xff" * 40, ("127.0.0.1", port))
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        packet = question("web.shop.svc.cluster.local")
        for _ in range(2):
            writer.write(struct.pack("!H", len(packet)) + packet)
            (length,) = struct.unpack("!H", await reader.readexactly(2))
            assert wire.read_records(await reader.readexactly(length), wire.A)
        writer.close()


async def test_a_burst_of_questions_for_others_pushes_none_of_ours_out() -> None:
    async with serving() as (port, client):
        await client.create(SERVICES, web("10.96.0.9"))
        await asyncio.sleep(0.05)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            for number in range(2000):  # more than the kernel keeps by itself
                sock.sendto(question(f"x{number}.example.com"), ("127.0.0.1", port))
        reply = await ask(port, question("web.shop.svc.cluster.local"))
        assert wire.read_records(reply, wire.A) == [(5, b"\x0a\x60\x00\x09")]
