"""One question to one server: what is sent, and whose answer is heard."""

import asyncio
import socket
import ssl
from pathlib import Path

import pytest

from harness.dnstalk import Elsewhere, answered, elsewhere, query, question
from sampan.apiserver import pki
from sampan.dns import upstream, wire
from sampan.dns.question import Query, parse_query
from sampan.dns.reply import Reply, answer_records
from sampan.dns.upstream import Spoilt, Upstream

ASKED = query("www.example.com")


async def ask(server: Upstream, asked: Query, **how: bool) -> Reply:
    async with asyncio.timeout(30):
        return await upstream.ask(server, asked, **how)


def here(port: int) -> Upstream:
    return Upstream("127.0.0.1", port)


def fits(asked: Query, packet: bytes) -> bytes:
    return answered(asked, "1.2.3.4")


async def test_every_question_has_a_port_an_id_and_a_spelling_of_its_own() -> None:
    async with elsewhere(fits) as it:
        for _ in range(8):
            await ask(here(it.port), ASKED)
    assert len({port for _, port in it.askers}) > 1
    assert len({asked.id for asked in it.asked}) > 1
    assert len({asked.question for asked in it.asked}) > 1
    assert {asked.name for asked in it.asked} == {"www.example.com"}
    assert all(asked.edns and asked.payload == 1232 for asked in it.asked)


def forgeries(asked: Query, packet: bytes) -> list[bytes]:
    true = answered(asked, "1.2.3.4")
    false = answered(asked, "6.6.6.6")
    other = parse_query(question("other.example.com", ident=asked.id))
    return [
        bytes((false[0] ^ 1,)) + false[1:],
        answered(other, "6.6.6.6"),
        false[:2] + bytes((false[2] & 0x7F,)) + false[3:],
        false[:5],
        b"",
        true,
        false,
    ]


async def test_only_what_fits_is_heard_and_the_first_of_that() -> None:
    async with elsewhere(forgeries) as it:
        reply = await ask(here(it.port), ASKED)
    assert [record.data for record in answer_records(reply)] == [b"\x01\x02\x03\x04"]


def flat(asked: Query, packet: bytes) -> bytes:
    return answered(parse_query(question(asked.name, asked.type, ident=asked.id)), "1.2.3.4")


async def test_a_server_that_changes_letters_is_told_from_a_forger() -> None:
    async with elsewhere(flat) as it:
        with pytest.raises(Spoilt):
            for _ in range(20):  # by chance some spelling is all small
                await ask(here(it.port), ASKED)
        assert (await ask(here(it.port), ASKED, spell=False)).answers == 1


def cut(asked: Query, packet: bytes) -> bytes:
    if packet == b"tcp":
        return answered(asked, *[f"10.0.{n}.1" for n in range(200)])
    reply = answered(asked, "1.2.3.4")
    return reply[:2] + bytes((reply[2] | 2,)) + reply[3:]


async def test_what_was_cut_is_fetched_by_tcp() -> None:
    async with elsewhere(cut) as it:
        reply = await ask(here(it.port), ASKED)
    assert reply.answers == 200 and len(it.by_tcp) == 1


async def test_tcp_alone_if_that_is_wanted() -> None:
    async with elsewhere(fits) as it:
        assert (await ask(here(it.port), ASKED, by_tcp=True)).answers == 1
    assert not it.asked


async def test_a_stream_that_breaks_off_is_no_answer() -> None:
    async with elsewhere(lambda asked, packet: None) as it:
        with pytest.raises(EOFError):
            await ask(here(it.port), ASKED, by_tcp=True)


async def test_a_refusal_by_a_bare_header_is_an_answer() -> None:
    async with elsewhere(lambda asked, packet: packet[:2] + b"\x81\x85" + bytes(8)) as it:
        assert (await ask(here(it.port), ASKED)).rcode == wire.REFUSED


async def test_nobody_there_is_known_at_once() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    with pytest.raises(ConnectionRefusedError):
        await ask(here(port), ASKED)


@pytest.mark.parametrize(("server_name", "trusted"), [("localhost", True), ("other.example", False)])
async def test_by_tls_the_server_has_to_be_who_it_should_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server_name: str, trusted: bool
) -> None:
    keys = pki.load_or_create(tmp_path, ["localhost"])
    monkeypatch.setenv("SSL_CERT_FILE", str(keys.ca))
    it = Elsewhere(fits)
    listener = await asyncio.start_server(it.stream, "127.0.0.1", 0, ssl=keys.server_context())
    server = Upstream("127.0.0.1", listener.sockets[0].getsockname()[1], tls=True, server_name=server_name)
    try:
        if trusted:
            assert (await ask(server, ASKED)).answers == 1
        else:
            with pytest.raises(ssl.SSLCertVerificationError):
                await ask(server, ASKED)
    finally:
        listener.close()
