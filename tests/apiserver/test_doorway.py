from __future__ import annotations

import asyncio
import socket
import ssl

import pytest

from sampan.apiserver import doorway
from sampan.apiserver.doorway import Doorway
from sampan.apiserver.http import bound_socket


class Hello(asyncio.Protocol):
    """Greets, so that a client knows that it has come in."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.write(b"hello")
        transport.close()


async def sent_away(reader: asyncio.StreamReader) -> None:
    try:
        assert await asyncio.wait_for(reader.read(), 10) == b""
    except ConnectionError:
        pass  # said so by a reset


async def greeted(port: int) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        return await asyncio.wait_for(reader.read(), 10)
    finally:
        writer.close()


async def test_who_takes_longest_to_come_in_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doorway, "ENTERING_MOST", 3)
    sock = bound_socket("127.0.0.1", 0)
    port = sock.getsockname()[1]
    opened = Doorway(sock, ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), Hello, 60)
    opened.open()
    silent = []
    for _ in range(5):
        silent.append(await asyncio.open_connection("127.0.0.1", port))
        await asyncio.sleep(0.01)
    for reader, _ in silent[:2]:
        await sent_away(reader)
    assert len(opened._entering) == 3
    opened.close()
    for reader, writer in silent[2:]:
        await sent_away(reader)
        writer.close()


async def test_when_nobody_can_be_accepted_it_is_tried_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(doorway, "PAUSE_S", 0.01)

    class Short(socket.socket):
        failures = 3

        def accept(self) -> tuple[socket.socket, object]:
            if Short.failures:
                Short.failures -= 1
                raise OSError(24, "Too many open files")
            return super().accept()

    bound = bound_socket("127.0.0.1", 0)
    opened = Doorway(Short(fileno=bound.detach()), None, Hello, 60)
    opened.open()
    assert await greeted(opened._sock.getsockname()[1]) == b"hello"
    assert caplog.text.count("Too many open files") == 3
    opened.close()
