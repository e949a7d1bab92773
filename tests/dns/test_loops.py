"""Servers that ask us what we ask them."""

import asyncio

from harness.dnstalk import answered, elsewhere
from sampan.dns import wire
from sampan.dns.config import read
from sampan.dns.loops import probe
from sampan.dns.metrics import Metrics
from sampan.dns.question import Query
from sampan.dns.responder import Asker, Responder
from sampan.dns.upstream import Upstream
from sampan.dns.zone import Zone


async def test_the_one_that_comes_back_is_found_and_asked_no_more() -> None:
    found: list[Upstream] = []

    def back(asked: Query, packet: bytes) -> bytes:
        reply = it.respond(packet, Asker(None))
        assert isinstance(reply, bytes)
        return reply

    def honest(asked: Query, packet: bytes) -> bytes:
        assert asked.type == wire.HINFO
        return answered(asked)

    async with elsewhere(back) as one, elsewhere(honest) as other:
        text = ".:53 {\n kubernetes cluster.local\n forward . 127.0.0.1:%d 127.0.0.1:%d\n loop\n}\n"
        it = Responder(read(text % (one.port, other.port), "cluster.local"), Zone(), Metrics())
        async with asyncio.timeout(30):
            await probe(it, found.append)
        assert [server.port for server in found] == [one.port]
        assert [server.port for server in it.forwarders[0].servers()] == [other.port]
        assert not it.probes


async def test_nobody_is_probed_unless_that_is_wanted() -> None:
    async with elsewhere(lambda asked, packet: None) as it:
        text = f".:53 {{\n kubernetes cluster.local\n forward . 127.0.0.1:{it.port}\n}}\n"
        await probe(Responder(read(text, "cluster.local"), Zone(), Metrics()), lambda server: None)
        assert not it.asked
