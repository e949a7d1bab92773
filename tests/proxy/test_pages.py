from __future__ import annotations

import asyncio
import socket
from http import HTTPStatus

import pytest

from sampan.proxy import pages
from sampan.proxy.pages import NOT_FOUND, Page, Pages


async def plain(family: int, kind: int, proto: int) -> socket.socket:
    sock = socket.socket(family, kind, proto)
    sock.setblocking(False)
    return sock


async def exchange(request: bytes) -> bytes:
    """One request to a server that has one page."""
    served = Pages(plain, (4,), lambda path: Page(HTTPStatus.OK, b"here") if path == "/a" else NOT_FOUND)
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    await served.open(port, "127.0.0.1")
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request)
        writer.write_eof()
        answer = await reader.read()
        writer.close()
        return answer
    finally:
        served.close()


async def test_page() -> None:
    assert await exchange(b"GET /a?b HTTP/1.1\r\nHost: x\r\n\r\n") == (
        b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\nhere"
    )


async def test_head_has_no_body() -> None:
    assert (await exchange(b"HEAD /a HTTP/1.1\r\n\r\n")).endswith(
        b"Content-Length: 4\r\nConnection: close\r\n\r\n"
    )


async def test_no_such_page_and_no_request() -> None:
    assert (await exchange(b"GET /b HTTP/1.0\r\n\r\n")).startswith(b"HTTP/1.1 404 Not Found\r\n")
    assert (await exchange(b"what\r\n\r\n")).startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert await exchange(b"GET /a HTT") == b""


async def test_who_asks_nothing_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "CONNECTIONS_MOST", 2)
    served = Pages(plain, (4,), lambda path: Page(HTTPStatus.OK, b"here"))
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    await served.open(port, "127.0.0.1")
    silent = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3)]
    async with asyncio.timeout(30):
        assert await silent[0][0].read() == b""
        silent[2][1].write(b"GET / HTTP/1.1\r\n\r\n")
        assert (await silent[2][0].read()).endswith(b"here")
    for _, writer in silent:
        writer.close()
    served.close()
