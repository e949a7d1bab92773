"""A probe's GET, byte for byte, and what it makes of answers that are none."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from sampan.kubelet import httpget
from sampan.kubelet.httpget import Headers, Unanswered
from sampan.kubelet.network.fake import Here


@asynccontextmanager
async def serving(*answers: bytes, address: str = "127.0.0.1") -> AsyncIterator[tuple[int, list[bytes]]]:
    """One answer a connection, the last one again and again; what was heard stands in the list."""
    heard: list[bytes] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(answers[min(len(heard), len(answers)) - 1])
        writer.close()

    server = await asyncio.start_server(talk, address, 0)
    try:
        yield server.sockets[0].getsockname()[1], heard
    finally:
        server.close()


async def get(port: int, path: str = "/", headers: Headers = (), host: str = "127.0.0.1") -> httpget.Answer:
    async with asyncio.timeout(30):
        return await httpget.get(Here(), "HTTP", host, port, path, headers)


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@pytest.mark.parametrize(
    ("headers", "lines"),
    [
        ([], ["Host: 127.0.0.1:PORT", "User-Agent: kube-probe/1.35", "Accept: */*"]),
        (
            [("X-A", "1"), ("X-B", ""), ("x-a", "2")],
            [
                "Host: 127.0.0.1:PORT",
                "User-Agent: kube-probe/1.35",
                "Accept: */*",
                "X-A: 1",
                "X-B: ",
                "x-a: 2",
            ],
        ),
        (
            [("host", "me"), ("ACCEPT", "text/html")],
            ["User-Agent: kube-probe/1.35", "host: me", "ACCEPT: text/html"],
        ),
        ([("User-Agent", ""), ("Accept", ""), ("Host", "")], ["Host: 127.0.0.1:PORT"]),
    ],
    ids=["none", "repeated", "replaced", "taken off"],
)
async def test_request(headers: Headers, lines: list[str]) -> None:
    async with serving(OK) as (port, heard):
        assert (await get(port, "/x?y=z", headers)).body == "ok"
        expected = [line.replace("PORT", str(port)) for line in lines]
    assert heard[0].decode().split("\r\n") == [
        "GET /x?y=z HTTP/1.1", *expected, "Connection: close", "", "",
    ]  # fmt: skip


def test_headers_of_an_action_keep_their_order_and_number() -> None:
    listed = [{"name": "A", "value": "1"}, {"name": "B"}, {"name": "A", "value": "2"}]
    assert httpget.headers_of({"httpHeaders": listed}) == [("A", "1"), ("B", ""), ("A", "2")]
    assert httpget.headers_of({}) == []


async def test_a_path_without_a_slash_gets_one() -> None:
    async with serving(OK) as (port, heard):
        await get(port, "healthz")
    assert heard[0].startswith(b"GET /healthz HTTP/1.1\r\n")


async def test_a_body_is_cut_and_needs_no_length() -> None:
    async with serving(b"HTTP/1.1 500 X\r\n\r\n" + b"x" * 3 * httpget.BODY_LIMIT) as (port, _):
        answer = await get(port)
    assert (answer.code, len(answer.body)) == (500, httpget.BODY_LIMIT)


async def test_a_body_that_ends_early_is_what_came() -> None:
    async with serving(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf") as (port, _):
        assert (await get(port)).body == "half"


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (b"", "EOF"),
        (b"HTTP/1.1 200 OK\r\n", "EOF"),
        (b"SSH-2.0-x\r\n\r\n", 'malformed HTTP response "SSH-2.0-x"'),
        (b"HTTP/1.1 abc\r\n\r\n", 'malformed HTTP response "HTTP/1.1 abc"'),
        (b"220 mail\r\n", 'malformed HTTP response "220 mail"'),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 2 * httpget.HEAD_LIMIT + b"\r\n\r\n", ""),
    ],
)
async def test_what_is_no_answer_is_said_to_be_none(answer: bytes, text: str) -> None:
    async with serving(answer) as (port, _):
        with pytest.raises(Unanswered) as caught:
            await get(port, "/x")
    assert str(caught.value).startswith(f'Get "http://127.0.0.1:{port}/x": ')
    assert text in str(caught.value) and not caught.value.refused


async def test_a_circle_of_redirects_ends() -> None:
    async with serving(b"HTTP/1.1 302 Found\r\nLocation: /again\r\n\r\n") as (port, heard):
        with pytest.raises(Unanswered, match="stopped after 10 redirects"):
            await get(port)
    assert len(heard) == 10


async def test_a_redirect_that_leads_nowhere_is_the_answer() -> None:
    async with serving(b"HTTP/1.1 302 Found\r\n\r\n") as (port, heard):
        assert (await get(port)).code == 302
    assert len(heard) == 1


async def test_the_other_family_is_asked_in_brackets() -> None:
    async with serving(OK, address="::1") as (port, heard):
        assert (await get(port, host="::1")).code == 200
    assert f"Host: [::1]:{port}\r\n".encode() in heard[0]
