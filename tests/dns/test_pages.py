"""Pages about the server."""

import asyncio
import socket

import pytest

from sampan.client.client import Client
from sampan.client.fake import FakeTransport
from sampan.client.informers import Informers
from sampan.dns import pages
from sampan.dns.pages import Pages, page
from sampan.dns.server import DnsServer


@pytest.fixture
async def server() -> DnsServer:
    return DnsServer(Informers(Client(FakeTransport())), [], [])


async def test_ready_once_the_zone_is_whole(server: DnsServer) -> None:
    assert page(server, "GET", "/health")[0] == 200
    assert page(server, "GET", "/ready")[0] == 503
    server.ready.set()
    assert page(server, "GET", "/ready")[::2] == (200, b"OK")


async def test_what_there_is(server: DnsServer) -> None:
    assert page(server, "GET", "/metrics?x=1")[0] == 200
    assert b"coredns_dns_request_duration_seconds_count" in page(server, "GET", "/metrics")[2]
    assert page(server, "GET", "/other")[0] == 404
    assert page(server, "POST", "/metrics")[0] == 405


async def test_over_a_socket_and_with_who_speaks_something_else(server: DnsServer) -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    running = asyncio.create_task(Pages(server, [listener]).run())
    await asyncio.sleep(0)
    for said in (b"nonsense\r\n\r\n", b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n"):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(said)
        async with asyncio.timeout(30):
            answer = await reader.read()
        writer.close()
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    running.cancel()


async def test_who_asks_nothing_makes_room(server: DnsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "CONNECTIONS_MOST", 2)
    listener = socket.create_server(("127.0.0.1", 0))
    running = asyncio.create_task(Pages(server, [listener]).run())
    await asyncio.sleep(0)
    silent = [await asyncio.open_connection(*listener.getsockname()) for _ in range(3)]
    async with asyncio.timeout(30):
        assert await silent[0][0].read() == b""
        silent[2][1].write(b"GET /health HTTP/1.1\r\n\r\n")
        assert (await silent[2][0].read()).startswith(b"HTTP/1.1 200 OK\r\n")
    for _, writer in silent:
        writer.close()
    running.cancel()
