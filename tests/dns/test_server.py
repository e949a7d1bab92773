"""The server on loopback: UDP and TCP, its own zone and the rest of the world."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.dnstalk import (
    Elsewhere,
    addresses,
    answered,
    edns,
    elsewhere,
    is_cut,
    question,
    rcode,
    records,
    until,
)
from sampan.api.resources import ENDPOINT_SLICES, NAMESPACES, SERVICES
from sampan.client.client import Client
from sampan.client.fake import FakeTransport
from sampan.client.informers import Informers
from sampan.dns import wire
from sampan.dns.corefile import CorefileError
from sampan.dns.question import Query
from sampan.dns.responder import Asker
from sampan.dns.server import DnsServer, Identity

WEB = "web.shop.svc.cluster.local"
COREFILE = """.:53 {
  kubernetes cluster.local in-addr.arpa {
    pods insecure
  }
  forward . 127.0.0.1:%d
  cache 30
}
"""


@dataclass
class Serving:
    port: int
    client: Client
    server: DnsServer
    other: Elsewhere
    informers: Informers

    async def ask(self, packet: bytes) -> bytes:
        loop = asyncio.get_running_loop()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.setblocking(False)
            await loop.sock_connect(sock, ("127.0.0.1", self.port))
            await loop.sock_sendall(sock, packet)
            async with asyncio.timeout(30):
                return await loop.sock_recv(sock, 0xFFFF)

    async def said(self, packet: bytes, fits: Callable[[bytes], bool]) -> None:
        async def there() -> bool:
            return fits(await self.ask(packet))

        await until(there)

    async def until(self, name: str, *ips: str) -> None:
        async def there() -> bool:
            return sorted(addresses(await self.ask(question(name)))) == sorted(ips)

        await until(there)


def example(asked: Query, packet: bytes) -> bytes:
    return answered(asked, *(["5.6.7.8"] if asked.name.endswith("example.com") else []))


def bound() -> tuple[socket.socket, socket.socket]:
    while True:
        udp, tcp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM), socket.socket()
        udp.bind(("127.0.0.1", 0))
        try:
            tcp.bind(udp.getsockname())
        except OSError:
            udp.close()
            continue
        return udp, tcp


@asynccontextmanager
async def serving(corefile: str = COREFILE) -> AsyncIterator[Serving]:
    client = Client(FakeTransport())
    await client.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}})
    informers = Informers(client)
    udp, tcp = bound()
    port = udp.getsockname()[1]
    async with elsewhere(example) as other:
        server = DnsServer(informers, [udp], [tcp], Identity(ranges=["10.96.0.0/16"]))
        server.configure(corefile % other.port if "%d" in corefile else corefile)
        tasks = [asyncio.create_task(server.run()), asyncio.create_task(informers.run())]
        async with asyncio.timeout(30):
            await server.ready.wait()
        try:
            yield Serving(port, client, server, other, informers)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


def web(ip: str, **spec: Any) -> dict[str, Any]:
    ports = [{"name": "http", "port": 80, "protocol": "TCP"}]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "web", "namespace": "shop"},
        "spec": {"type": "ClusterIP", "clusterIP": ip, "ports": ports, **spec},
    }


def web_slice(count: int) -> dict[str, Any]:
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": "web-1",
            "namespace": "shop",
            "labels": {"kubernetes.io/service-name": "web"},
        },
        "addressType": "IPv4",
        "endpoints": [{"addresses": [f"10.244.{n // 250}.{n % 250}"]} for n in range(count)],
    }


async def test_answer_follows_the_service() -> None:
    async with serving() as it:
        for _ in range(2):
            assert rcode(await it.ask(question(WEB))) == wire.NXDOMAIN
        await it.client.create(SERVICES, web("10.96.0.9"))
        await it.until(WEB, "10.96.0.9")
        change = {"spec": {"clusterIP": "10.96.0.10"}}
        await it.client.patch(SERVICES, "web", change, namespace="shop")
        await it.until(WEB, "10.96.0.10")
        await it.client.delete(SERVICES, "web", namespace="shop")
        await it.until(WEB)


async def test_the_zone_is_current_in_the_very_turn_in_which_its_informer_is() -> None:
    async with serving() as it:
        await it.ask(question(WEB))
        seen: list[list[str]] = []

        def look(old: object, new: object) -> None:
            answer = it.server._respond(question(WEB), asker)
            assert isinstance(answer, bytes)
            seen.append(addresses(answer))

        asker = Asker(None)
        it.informers.informer(SERVICES).subscribe(look)
        await it.client.create(SERVICES, web("10.96.0.9"))
        await it.until(WEB, "10.96.0.9")
        assert seen == [["10.96.0.9"]]


async def test_the_asker_gets_its_own_spelling_and_id_back() -> None:
    async with serving() as it:
        await it.client.create(SERVICES, web("10.96.0.9"))
        await it.until(WEB, "10.96.0.9")
        for spelt in (WEB, WEB.upper(), "WeB.Shop.svc.cluster.LOCAL"):
            packet = question(spelt, ident=0x4142)
            reply = await it.ask(packet)
            assert reply[:2] == packet[:2] and reply[12 : len(packet)] == packet[12:]
            assert addresses(reply) == ["10.96.0.9"]


async def test_the_rest_goes_elsewhere_once() -> None:
    async with serving() as it:
        for _ in range(3):
            reply = await it.ask(question("www.example.com"))
            assert addresses(reply) == ["5.6.7.8"] and reply[:2] == b"\x00\x07"
        for _ in range(2):
            assert rcode(await it.ask(question("nope.example.org"))) == wire.NXDOMAIN
        assert len(it.other.asked) == 2


async def test_what_the_cluster_denies_is_never_asked_of_others() -> None:
    """As the search path does it, to every name of the outside world."""
    async with serving() as it:
        for end in ("shop.svc.cluster.local", "svc.cluster.local", "cluster.local"):
            assert rcode(await it.ask(question(f"www.example.com.{end}"))) == wire.NXDOMAIN
        assert rcode(await it.ask(question("9.9.96.10.in-addr.arpa", wire.PTR))) == wire.NXDOMAIN
        assert not it.other.asked


async def test_an_alias_comes_with_what_its_target_has() -> None:
    async with serving() as it:
        await it.client.create(SERVICES, web("", type="ExternalName", externalName="www.example.com"))
        await it.said(question(WEB), lambda reply: rcode(reply) == wire.NOERROR)
        reply = await it.ask(question(WEB))
        assert [(r.name, r.type) for r in records(reply)] == [(WEB, wire.CNAME), ("www.example.com", wire.A)]
        assert len(records(await it.ask(question(WEB, wire.CNAME)))) == 1


async def test_a_big_answer_is_cut_by_udp_in_turn_and_whole_by_tcp() -> None:
    async with serving() as it:
        await it.client.create(SERVICES, web("None"))
        await it.client.create(ENDPOINT_SLICES, web_slice(1000))
        await it.said(question(WEB, opt=edns()), is_cut)
        reply = await it.ask(question(WEB, opt=edns()))
        assert 1232 - 16 < len(reply) <= 1232
        firsts = {addresses(await it.ask(question(WEB)))[0] for _ in range(16)}
        assert len(firsts) > 1, "who asks again begins with another"
        reader, writer = await asyncio.open_connection("127.0.0.1", it.port)
        packet = question(WEB)
        writer.write(struct.pack("!H", len(packet)) + packet)
        (length,) = struct.unpack("!H", await reader.readexactly(2))
        assert len(set(addresses(await reader.readexactly(length)))) == 1000
        writer.close()


async def test_endpoints_take_turns_in_being_first() -> None:
    async with serving() as it:
        await it.client.create(SERVICES, web("None"))
        await it.client.create(ENDPOINT_SLICES, web_slice(3))
        await it.until(WEB, "10.244.0.0", "10.244.0.1", "10.244.0.2")
        firsts = [addresses(await it.ask(question(WEB)))[0] for _ in range(6)]
        assert sorted(firsts) == sorted(["10.244.0.0", "10.244.0.1", "10.244.0.2"] * 2)


@pytest.mark.parametrize(
    ("packet", "code"),
    [
        (question(WEB, wire.AXFR), wire.REFUSED),
        (question("version.bind", wire.TXT, cls=3), wire.REFUSED),
        (question(WEB, opt=edns(version=1)), 0),
        (b"\x00\x07\x01\x00" + bytes(8), wire.FORMERR),
        (b"\x00\x07\x28\x00" + bytes(8), wire.NOTIMP),
    ],
)
async def test_what_is_not_answered_is_refused(packet: bytes, code: int) -> None:
    async with serving() as it:
        reply = await it.ask(packet)
        assert reply[:2] == packet[:2] and reply[2] & 0x80 and rcode(reply) == code


async def test_garbage_does_not_stop_it() -> None:
    async with serving() as it:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            for packet in (b"", b"\xff" * 40, b"\x00" * 5):
                sock.sendto(packet, ("127.0.0.1", it.port))
        assert rcode(await it.ask(question(WEB))) == wire.NXDOMAIN


async def test_a_burst_of_questions_for_others_pushes_none_of_ours_out() -> None:
    async with serving() as it:
        it.other.script = lambda asked, packet: None
        await it.client.create(SERVICES, web("10.96.0.9"))
        await it.until(WEB, "10.96.0.9")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            for number in range(2000):  # more than the kernel keeps by itself
                sock.sendto(question(f"x{number}.example.com"), ("127.0.0.1", it.port))
        assert addresses(await it.ask(question(WEB))) == ["10.96.0.9"]


async def test_a_new_configuration_holds_from_the_next_question_on() -> None:
    async with serving() as it:
        await it.client.create(SERVICES, web("10.96.0.9"))
        await it.until(WEB, "10.96.0.9")
        hosts = "hosts {\n 1.2.3.4 db.corp\n fallthrough\n}\n"
        rewrite = f"rewrite name shop.corp {WEB}\n"
        it.server.configure((COREFILE % it.other.port).replace("forward", f"{hosts}{rewrite}forward"))
        assert addresses(await it.ask(question("db.corp"))) == ["1.2.3.4"]
        (found,) = records(await it.ask(question("shop.corp")))
        assert (found.name, found.data) == ("shop.corp", bytes((10, 96, 0, 9)))
        assert addresses(await it.ask(question(WEB))) == ["10.96.0.9"]
        with pytest.raises(CorefileError):
            it.server.configure(".:53 {\n nonsense\n}\n")
        assert addresses(await it.ask(question("db.corp"))) == ["1.2.3.4"]


async def test_what_was_there_before_the_configuration_came_goes_when_it_goes() -> None:
    async with serving() as it:
        again = DnsServer(it.informers, [], [])
        again.configure(COREFILE % it.other.port)
        running = asyncio.create_task(again.run())
        await again.ready.wait()
        assert again._responder.zone.lookup("shop.svc.cluster.local", wire.A).rcode == wire.NOERROR
        await it.client.delete(NAMESPACES, "shop")
        await it.said(question("shop.svc.cluster.local"), lambda reply: rcode(reply) == wire.NXDOMAIN)
        assert again._responder.zone.lookup("shop.svc.cluster.local", wire.A).rcode == wire.NXDOMAIN
        running.cancel()


async def test_a_server_that_asks_us_back_is_asked_no_more() -> None:
    looped = COREFILE.replace("cache", "loop\n  cache")
    async with serving(looped) as it:
        relay = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        relay.connect(("127.0.0.1", it.port))

        def back(asked: Query, packet: bytes) -> None:
            relay.send(packet)

        it.other.script = back
        it.server.configure(looped % it.other.port)
        await it.said(question("www.example.com"), lambda reply: rcode(reply) == wire.SERVFAIL)

        async def shunned() -> bool:
            return not it.server._responder.forwarders[0].servers()

        await until(shunned)
        relay.close()


async def test_every_question_is_counted_once() -> None:
    async with serving() as it:
        await it.client.create(SERVICES, web("10.96.0.9"))
        await it.until(WEB, "10.96.0.9")
        before = counted(it.server, "coredns_dns_requests_total")
        for name in (WEB, WEB.upper(), WEB, "www.example.com", "www.example.com", "nope.cluster.local"):
            await it.ask(question(name))
        assert counted(it.server, "coredns_dns_requests_total") - before == 6
        assert counted(it.server, "coredns_dns_responses_total", rcode="NXDOMAIN") >= 1
        assert counted(it.server, "coredns_cache_hits_total") == 1
        assert counted(it.server, "coredns_forward_requests_total") == 1
        seen = counted(it.server, "coredns_dns_request_duration_seconds", suffix="_count")
        assert seen == counted(it.server, "coredns_dns_requests_total")


def counted(server: DnsServer, name: str, suffix: str = "", **labels: str) -> float:
    return sum(
        sample.value
        for family in server.families()
        if family.name == name
        for sample in family.samples
        if sample.suffix == suffix and labels.items() <= sample.labels.items()
    )


@given(st.binary(max_size=100) | st.binary(max_size=60).map(question(WEB)[:20].__add__))
def test_no_packet_breaks_it(packet: bytes) -> None:
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        server = DnsServer(Informers(Client(FakeTransport())), [], [])
        outcome = server._responder.respond(packet, Asker(("127.0.0.1", 1)))
        if outcome is None:
            assert len(packet) < 12 or packet[2] & 0x80
        elif isinstance(outcome, bytes):
            assert outcome[:2] == packet[:2]
        else:
            outcome.close()
    finally:
        asyncio.set_event_loop(None)
        loop.close()
