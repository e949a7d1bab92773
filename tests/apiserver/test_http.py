from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable

import pytest

from sampan.apiserver import connection, http
from sampan.apiserver.exchange import Exchange
from sampan.apiserver.http import HttpServer, bound_socket

BIG_BYTES = 20_000_000


class Echo:
    """Answers with what was asked; `/slow` waits for `gate`, `/stream` streams, `/now` needs no task."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.big = 0
        self.cancelled = asyncio.Event()

    def takes_body(self, exchange: Exchange) -> bool:
        return exchange.path.startswith("/upload")

    def knows(self, exchange: Exchange) -> bool:
        return "stranger" not in exchange.headers

    def answer_now(self, exchange: Exchange) -> bool:
        if exchange.path != "/now":
            return False
        exchange.respond(200, b"now", "text/plain")
        return True

    async def answer(self, exchange: Exchange) -> None:
        if exchange.path == "/big":
            self.big += 1
            exchange.respond(200, b"x" * BIG_BYTES)
            return
        if exchange.path == "/boom":
            raise ValueError("boom")
        if exchange.path == "/slow":
            await self.gate.wait()
        if exchange.path == "/stream":
            exchange.connection.cancel_when_lost = True
            exchange.start_stream(200, "text/plain")
            try:
                for number in range(3):
                    exchange.send(b"%d\n" % number)
                await self.gate.wait()
            except asyncio.CancelledError:
                self.cancelled.set()
                raise
            exchange.end()
            return
        said = {"method": exchange.method, "path": exchange.path, "size": len(exchange.body)}
        exchange.respond(413 if exchange.too_large else 200, json.dumps(said).encode())


@pytest.fixture
async def echo() -> AsyncIterator[Echo]:
    echo = Echo()
    server = HttpServer(echo)
    sock = bound_socket("127.0.0.1", 0)
    echo.port = sock.getsockname()[1]  # type: ignore[attr-defined]
    echo.server = server  # type: ignore[attr-defined]
    await server.listen(sock, None)
    yield echo
    await server.stop(0.1)


async def connect(echo: Echo) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", echo.port)  # type: ignore[attr-defined]


async def read_answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    async with asyncio.timeout(30):
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        size = int(head.lower().partition("content-length: ")[2].partition("\r\n")[0])
        return int(head.split(" ", 2)[1]), await reader.readexactly(size)


async def test_one_connection_serves_many_requests(echo: Echo) -> None:
    reader, writer = await connect(echo)
    for path in ("/a", "/now", "/b%20c"):
        writer.write(f"GET {path}?x=1 HTTP/1.1\r\nHost: h\r\n\r\n".encode())
        code, body = await read_answer(reader)
        assert code == 200 and (path == "/now" or json.loads(body)["path"] == path.replace("%20", " "))
    writer.close()


async def test_pipelined_requests_are_answered_in_order(echo: Echo) -> None:
    reader, writer = await connect(echo)
    paths = ["/slow", "/now", "/a", "/now", "/b"]
    writer.write(b"".join(f"GET {path} HTTP/1.1\r\nHost: h\r\n\r\n".encode() for path in paths))
    await asyncio.sleep(0.02)
    echo.gate.set()
    for path in paths:
        _, body = await read_answer(reader)
        assert body == b"now" if path == "/now" else json.loads(body)["path"] == path
    writer.close()


async def test_a_body_of_ten_megabytes_is_refused_and_the_client_hears_it(echo: Echo) -> None:
    reader, writer = await connect(echo)
    body = b"x" * 10_000_000
    writer.write(b"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    code, _ = await read_answer(reader)
    assert code == 413
    writer.close()


async def test_a_chunked_body_is_put_together(echo: Echo) -> None:
    reader, writer = await connect(echo)
    writer.write(
        b"POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
    )
    assert json.loads((await read_answer(reader))[1])["size"] == 5
    writer.close()


async def test_a_client_may_ask_whether_to_go_on(echo: Echo) -> None:
    reader, writer = await connect(echo)
    writer.write(b"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
    assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    writer.write(b"ab")
    assert json.loads((await read_answer(reader))[1])["size"] == 2
    writer.close()


@pytest.mark.parametrize(
    ("garbage", "code"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00", b"400"),
        (b"GET / HTTP/9.9\r\n\r\n", b"400"),
        (b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n", b"431"),
        (b"GET / HTTP/1.1\r\n" + b"x: y\r\n" * 20_000 + b"\r\n", b"431"),
    ],
)
async def test_garbage_is_refused_and_nobody_else_notices(echo: Echo, garbage: bytes, code: bytes) -> None:
    good_reader, good_writer = await connect(echo)
    reader, writer = await connect(echo)
    writer.write(garbage)
    async with asyncio.timeout(30):
        try:
            assert (await reader.read()).split(b" ")[1] == code
        except ConnectionResetError:
            pass
    good_writer.write(b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n")
    assert (await read_answer(good_reader))[0] == 200
    writer.close()
    good_writer.close()


async def test_a_head_that_never_ends_is_given_up(echo: Echo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "HEAD_TIMEOUT_S", 0.05)
    reader, writer = await connect(echo)
    writer.write(b"GET / HTTP/1.1\r\nHos")
    async with asyncio.timeout(30):
        assert b" 408 " in await reader.read()
    writer.close()


async def test_a_stream_ends_with_its_client(echo: Echo) -> None:
    reader, writer = await connect(echo)
    writer.write(b"GET /stream HTTP/1.1\r\nHost: h\r\n\r\n")
    async with asyncio.timeout(30):
        assert b"chunked" in await reader.readuntil(b"\r\n\r\n")
        assert await reader.readexactly(14) == b"2\r\n0\n\r\n2\r\n1\n\r\n"
        writer.close()
        await echo.cancelled.wait()


async def test_http_1_0_gets_no_chunks(echo: Echo) -> None:
    reader, writer = await connect(echo)
    echo.gate.set()
    writer.write(b"GET /stream HTTP/1.0\r\n\r\n")
    async with asyncio.timeout(30):
        assert (await reader.read()).endswith(b"\r\n\r\n0\n1\n2\n")
    writer.close()


async def test_a_handler_that_fails_harms_only_its_connection(echo: Echo) -> None:
    reader, writer = await connect(echo)
    writer.write(b"GET /boom HTTP/1.1\r\nHost: h\r\n\r\n")
    async with asyncio.timeout(30):
        try:
            assert await reader.read() == b""
        except ConnectionResetError:
            pass
    writer.close()
    reader, writer = await connect(echo)
    writer.write(b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n")
    assert (await read_answer(reader))[0] == 200
    writer.close()


async def test_large_answer_is_whole_and_ends_the_connection_when_told(echo: Echo) -> None:
    reader, writer = await connect(echo)
    writer.write(b"GET /big HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
    code, body = await read_answer(reader)
    assert (code, len(body), body.strip(b"x")) == (200, BIG_BYTES, b"")
    assert await reader.read() == b""
    writer.close()


async def comes_true(look: Callable[[], bool]) -> None:
    for _ in range(3000):
        if look():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it never came true")


async def test_client_that_does_not_read_gets_one_answer_made_and_then_waits(echo: Echo) -> None:
    reader, writer = await connect(echo)
    writer.transport.pause_reading()  # type: ignore[attr-defined]
    writer.write(b"GET /big HTTP/1.1\r\nHost: h\r\n\r\n" * 3)
    await comes_true(lambda: echo.big == 1)
    await asyncio.sleep(0.3)
    assert echo.big == 1
    writer.transport.resume_reading()  # type: ignore[attr-defined]
    for _ in range(3):
        code, body = await read_answer(reader)
        assert (code, len(body)) == (200, BIG_BYTES)
    assert echo.big == 3
    writer.close()


async def test_client_that_never_reads_is_cut(echo: Echo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "HEAD_TIMEOUT_S", 0.05)
    monkeypatch.setattr(connection, "IDLE_TIMEOUT_S", 0.1)
    server: HttpServer = echo.server  # type: ignore[attr-defined]
    while not echo.big:  # on a machine that stands still even the request comes too late
        _, writer = await connect(echo)
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        writer.write(b"GET /big HTTP/1.1\r\nHost: h\r\n\r\n")
        await comes_true(lambda: echo.big == 1 or not server.connections)
    await comes_true(lambda: not server.connections)
    writer.close()


async def test_small_answers_are_not_held_back(echo: Echo) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", echo.port)  # type: ignore[attr-defined]
    writer.write(b"GET /now HTTP/1.1\r\nHost: x\r\n\r\n")
    await reader.readuntil(b"now")
    (connection,) = echo.server.connections  # type: ignore[attr-defined]
    sock = connection.transport.get_extra_info("socket")
    assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    writer.close()


async def test_nothing_of_a_strangers_body_is_kept(echo: Echo) -> None:
    reader, writer = await connect(echo)
    for head, size in (("Stranger: yes", 0), ("Known: yes", 9)):
        writer.write(f"POST / HTTP/1.1\r\nHost: h\r\n{head}\r\nContent-Length: 9\r\n\r\n123456789".encode())
        _, body = await read_answer(reader)
        assert json.loads(body)["size"] == size
    writer.close()


async def test_who_has_waited_longest_makes_room(echo: Echo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "WAITING_MOST", 3)
    at_work, works = await connect(echo)
    works.write(b"GET /slow HTTP/1.1\r\nHost: h\r\n\r\n")
    idle = [await connect(echo) for _ in range(3)]
    for reader, writer in (idle[0], idle[2]):  # the second has not asked for longest
        writer.write(b"GET /now HTTP/1.1\r\nHost: h\r\n\r\n")
        assert await read_answer(reader) == (200, b"now")
    newest = await connect(echo)
    newest[1].write(b"GET /now HTTP/1.1\r\nHost: h\r\n\r\n")
    assert await read_answer(newest[0]) == (200, b"now")
    assert await asyncio.wait_for(idle[1][0].read(), 10) == b""
    idle[0][1].write(b"GET /now HTTP/1.1\r\nHost: h\r\n\r\n")
    assert await read_answer(idle[0][0]) == (200, b"now")
    echo.gate.set()
    assert (await read_answer(at_work))[0] == 200
    for _, writer in (*idle, newest, (at_work, works)):
        writer.close()
