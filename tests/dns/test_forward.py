"""Questions that go to the host's resolvers, and answers that are none of theirs."""

from __future__ import annotations

import asyncio
import os
import struct
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from sampan.dns import forward
from sampan.dns.forward import Forwarder, Resolvers, Unanswered

ASKED = b"\x12\x34" + bytes(10) + b"question"
ANSWER = b"\x12\x34\x80" + bytes(9) + b"answer"
CUT_SHORT = b"\x12\x34\x82" + bytes(9)


@pytest.mark.parametrize(
    ("text", "servers"),
    [
        ("", []),
        ("nameserver 10.0.0.1\nnameserver 10.0.0.2 # second\n", ["10.0.0.1", "10.0.0.2"]),
        ("# nameserver 10.0.0.9\n;nameserver 10.0.0.9\nsearch nameserver 10.0.0.9\n", []),
        ("nameserver\t fd00::1\nnameserver FD00:0::2\n", ["fd00::1", "fd00::2"]),
        ("nameserver nonsense\nnameserver\nnameserver 10.0.0.1", ["10.0.0.1"]),
        ("nameserver 10.96.0.10\nnameserver 10.0.0.1\n", ["10.0.0.1"]),
    ],
)
def test_nameservers_of_the_host_but_not_ourselves(tmp_path: Path, text: str, servers: list[str]) -> None:
    file = tmp_path / "resolv.conf"
    file.write_text(text)
    found = Resolvers(file, exclude=["10.96.0.10"]).servers()
    assert found == [(ip, 53) for ip in servers]


def test_a_changed_file_is_read_again_and_a_missing_one_names_nobody(tmp_path: Path) -> None:
    file = tmp_path / "resolv.conf"
    resolvers = Resolvers(file)
    assert resolvers.servers() == []
    file.write_text("nameserver 10.0.0.1\n")
    assert resolvers.servers() == [("10.0.0.1", 53)]
    file.write_text("nameserver 10.0.0.2\n")
    os.utime(file, ns=(1, 1))
    assert resolvers.servers() == [("10.0.0.2", 53)]
    replaced = tmp_path / "new"
    replaced.write_text("nameserver 10.0.0.3\n")
    os.utime(replaced, ns=(1, 1))
    replaced.rename(file)
    assert resolvers.servers() == [("10.0.0.3", 53)]
    file.unlink()
    assert resolvers.servers() == []


class Listed(Resolvers):
    def __init__(self, *ports: int) -> None:
        super().__init__(Path("/nonexistent"))
        self._listed = [("127.0.0.1", port) for port in ports]

    def servers(self) -> Sequence[tuple[str, int]]:
        return self._listed


class Answering(asyncio.DatagramProtocol):
    def __init__(self, replies: Sequence[bytes]) -> None:
        self.replies = replies
        self.asked: list[bytes] = []
        self.askers: list[tuple[str, int]] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.asked.append(data)
        self.askers.append(addr)
        for reply in self.replies:
            self.transport.sendto(reply, addr)  # type: ignore[attr-defined]


@asynccontextmanager
async def server(*replies: bytes, tcp: bytes | None = None) -> AsyncIterator[tuple[int, Answering]]:
    """Answers each datagram with all of `replies`, a stream with `tcp` (None: not at all)."""

    async def stream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        length = struct.unpack("!H", await reader.readexactly(2))[0]
        assert await reader.readexactly(length) == ASKED
        writer.write(tcp or b"")
        writer.close()

    streams = await asyncio.start_server(stream, "127.0.0.1", 0)
    port: int = streams.sockets[0].getsockname()[1]
    if tcp is None:
        streams.close()
    transport, protocol = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: Answering(replies), local_addr=("127.0.0.1", port)
    )
    try:
        yield port, protocol
    finally:
        transport.close()
        streams.close()


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forward, "TIMEOUT_S", 0.1)


async def test_question_and_answer_pass_as_they_are() -> None:
    async with server(ANSWER) as (port, it):
        assert await Forwarder(Listed(port)).ask(ASKED, tcp=False) == ANSWER
        assert it.asked == [ASKED]


async def test_each_question_goes_out_from_a_port_of_its_own() -> None:
    async with server(ANSWER) as (port, it):
        for _ in range(5):
            await Forwarder(Listed(port)).ask(ASKED, tcp=False)
        assert len(set(it.askers)) > 1


@pytest.mark.parametrize("forged", [b"\x99\x99" + ANSWER[2:], ANSWER[:5], b""])
async def test_an_answer_that_does_not_fit_is_waited_past(forged: bytes) -> None:
    async with server(forged, ANSWER) as (port, _):
        assert await Forwarder(Listed(port)).ask(ASKED, tcp=False) == ANSWER


async def test_the_first_of_two_answers_counts() -> None:
    async with server(ANSWER, ANSWER + b"more") as (port, _):
        assert await Forwarder(Listed(port)).ask(ASKED, tcp=False) == ANSWER


async def test_a_server_that_is_silent_or_not_there_is_passed_over() -> None:
    async with server() as (silent, it), server(ANSWER) as (port, _):
        async with server() as (closed, _):
            pass
        assert await Forwarder(Listed(closed, silent, port)).ask(ASKED, tcp=False) == ANSWER
        assert it.asked == [ASKED]


@pytest.mark.parametrize("servers", [0, 1])
async def test_when_nobody_answers_that_is_said(servers: int) -> None:
    async with server() as (silent, _):
        with pytest.raises(Unanswered):
            await Forwarder(Listed(*[silent] * servers)).ask(ASKED, tcp=False)


def framed(packet: bytes) -> bytes:
    return struct.pack("!H", len(packet)) + packet


async def test_what_is_too_long_for_a_datagram_is_fetched_over_tcp_for_who_asked_so() -> None:
    long = ANSWER + bytes(3000)
    async with server(CUT_SHORT, tcp=framed(long)) as (port, _):
        assert await Forwarder(Listed(port)).ask(ASKED, tcp=True) == long
        assert await Forwarder(Listed(port)).ask(ASKED, tcp=False) == CUT_SHORT


@pytest.mark.parametrize("answer", [framed(ANSWER)[:-1], b"", None])
async def test_a_stream_that_breaks_off_is_no_answer(answer: bytes | None) -> None:
    async with server(CUT_SHORT, tcp=answer) as (port, _):
        with pytest.raises(Unanswered):
            await Forwarder(Listed(port)).ask(ASKED, tcp=True)
