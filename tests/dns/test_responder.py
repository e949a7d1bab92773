"""Which of those who may know a name is asked."""

from collections.abc import Coroutine
from pathlib import Path

import pytest

from harness.dnstalk import addresses, answered, elsewhere, question, rcode, records
from sampan.dns import wire
from sampan.dns.config import read
from sampan.dns.message import build_answer
from sampan.dns.metrics import Metrics
from sampan.dns.question import Query
from sampan.dns.responder import Asker, Responder
from sampan.dns.zone import Zone

WEB = {
    "metadata": {"name": "web", "namespace": "shop"},
    "spec": {"type": "ClusterIP", "clusterIP": "10.96.0.7", "clusterIPs": ["10.96.0.7"]},
}
NAME = "web.shop.svc.cluster.local"


def responder(*lines: str, more: str = "") -> Responder:
    block = "\n".join((".:53 {", "kubernetes cluster.local {\n pods insecure\n}", *lines, "}\n"))
    zone = Zone()
    zone.set_namespace("shop", present=True)
    zone.set_service("shop/web", WEB)
    return Responder(read(block + more, "cluster.local"), zone, Metrics())


async def ask(it: Responder, name: str, kind: int = wire.A) -> bytes:
    outcome = it.respond(question(name, kind), Asker(None))
    assert outcome is not None
    return await outcome if isinstance(outcome, Coroutine) else outcome


def known(*names: str, ip: str = "5.6.7.8"):  # type: ignore[no-untyped-def]
    def script(asked: Query, packet: bytes) -> bytes:
        return answered(asked, *([ip] if asked.name in names else []))

    return script


async def test_without_anybody_to_ask_the_rest_is_refused() -> None:
    it = responder()
    assert addresses(await ask(it, NAME)) == ["10.96.0.7"]
    assert rcode(await ask(it, "example.com")) == wire.REFUSED
    only = Responder(read("cluster.local {\n kubernetes\n}\n", "cluster.local"), Zone(), Metrics())
    assert rcode(await ask(only, "example.com")) == wire.REFUSED


async def test_the_longest_zone_and_the_longest_origin_count_and_exceptions_are_kept_to() -> None:
    first = known("a.corp", "b.a.corp", ip="1.1.1.1")
    second = known("a.corp", "c.corp", "b.a.corp", "x.stub", ip="2.2.2.2")
    async with elsewhere(first) as one, elsewhere(second) as two:
        it = responder(
            f"forward . 127.0.0.1:{one.port}",
            f"forward corp 127.0.0.1:{two.port} {{\n except a.corp\n}}",
            more=f"stub {{\n forward . 127.0.0.1:{two.port}\n}}\n",
        )
        assert addresses(await ask(it, "c.corp")) == ["2.2.2.2"]
        assert addresses(await ask(it, "b.a.corp")) == ["1.1.1.1"]
        assert addresses(await ask(it, "x.stub")) == ["2.2.2.2"]


async def test_hosts_come_first_and_the_rest_falls_through_if_that_is_said(tmp_path: Path) -> None:
    hosts = tmp_path / "hosts"
    hosts.write_text(f"1.2.3.4 {NAME}\n")
    for words, other in (("fallthrough", wire.NOERROR), ("ttl 9", wire.NXDOMAIN)):
        it = responder(f"hosts {hosts} {{\n {words}\n}}")
        assert addresses(await ask(it, NAME)) == ["1.2.3.4"]
        assert rcode(await ask(it, "svc.cluster.local")) == other
    hosts.write_text("")
    it = responder(f"hosts {hosts} {{\n fallthrough\n}}")
    for ip in ("10.96.0.7", "1.2.3.4"):  # an answer that a file may change is not kept
        assert addresses(await ask(it, NAME)) == [ip]
        hosts.write_text(f"1.2.3.4 {NAME}\n")


async def test_a_rewritten_name_is_answered_under_its_own() -> None:
    async with elsewhere(known("web.example")) as other:
        it = responder(
            f"rewrite name shop.corp {NAME}",
            "rewrite name suffix .corp .example",
            f"forward . 127.0.0.1:{other.port}",
        )
        for name, ip in (("shop.corp", "10.96.0.7"), ("web.corp", "5.6.7.8")):
            (record,) = records(await ask(it, name))
            assert (record.name, record.data) == (name, bytes(map(int, ip.split("."))))
        assert rcode(await ask(it, "nope.corp")) == wire.NXDOMAIN


async def test_an_alias_to_what_nobody_answers_says_so() -> None:
    it = responder("forward . /nonexistent")
    alias = {"type": "ExternalName", "externalName": "www.example.com"}
    it.zone.set_service("shop/web", {**WEB, "spec": alias})
    reply = await ask(it, NAME)
    assert rcode(reply) == wire.SERVFAIL and len(records(reply)) == 1
    assert rcode(await ask(it, NAME, wire.CNAME)) == wire.NOERROR


async def test_an_alias_into_a_chain_of_others_is_appended_whole() -> None:
    def chain(asked: Query, packet: bytes) -> bytes:
        alias = wire.Record(asked.name, wire.CNAME, 60, wire.encode_name("cdn.example.net"))
        return build_answer(asked, 0, [alias, wire.Record("cdn.example.net", wire.A, 60, bytes(4))])

    async with elsewhere(chain) as other:
        it = responder(f"forward . 127.0.0.1:{other.port}", "cache")
        alias = {"type": "ExternalName", "externalName": "www.example.com"}
        it.zone.set_service("shop/web", {**WEB, "spec": alias})
        for _ in range(2):
            found = [(r.name, r.type) for r in records(await ask(it, NAME))]
            assert found == [
                (NAME, wire.CNAME),
                ("www.example.com", wire.CNAME),
                ("cdn.example.net", wire.A),
            ]
        assert len(other.asked) == 1


async def test_questions_are_written_down_if_that_is_wanted(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    it = responder("log")
    for _ in range(2):
        await ask(it, NAME)
    assert len([line for line in caplog.messages if f'"A IN {NAME}. udp' in line and "NOERROR" in line]) == 2


async def test_a_template_comes_before_all_others() -> None:
    it = responder(
        'template IN A dev.example {\n answer "{{ .Name }} 60 IN A 10.0.0.1"\n}',
        f'template IN A a.example {{\n answer "{{{{ .Name }}}} 60 IN CNAME {NAME}."\n}}',
        "template IN AAAA svc.cluster.local {\n rcode NXDOMAIN\n}",
    )
    assert addresses(await ask(it, "any.dev.example")) == ["10.0.0.1"]
    assert addresses(await ask(it, "a.example")) == ["10.96.0.7"]
    assert rcode(await ask(it, NAME, wire.AAAA)) == wire.NXDOMAIN
    assert addresses(await ask(it, NAME)) == ["10.96.0.7"]
