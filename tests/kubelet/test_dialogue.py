"""Conversations by readiness alone: how they end, and that nothing is left of them."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from sampan.apiserver import pki
from sampan.kubelet.dialogue import Dialogue, NotConnected, Script, UnknownHost
from sampan.kubelet.network.fake import Here
from sampan.kubelet.socketstock import SocketStock


class Echo:
    """Says so much, wants it back."""

    def __init__(self, opening: bytes) -> None:
        self.opening, self.heard = opening, b""

    def hear(self, data: bytes) -> bytes | None:
        self.heard += data
        return None if len(self.heard) == len(self.opening) else b""


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(1 << 16):
        writer.write(data)
        await writer.drain()
    writer.close()


async def _silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()
    writer.close()


async def _hangs_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.close()


@asynccontextmanager
async def serving(talk: Callable[..., object], **options: object) -> AsyncIterator[int]:
    server = await asyncio.start_server(talk, "127.0.0.1", 0, **options)  # type: ignore[arg-type]
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def talk(
    port: int, script: Script | None, *, host: str = "127.0.0.1", timeout_s: float = 60, tls: bool = False
) -> Exception | None:
    stock = SocketStock(Here())
    ended: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()
    Dialogue(stock, host, port, script, ended.set_result, timeout_s, tls)
    try:
        return await ended
    finally:
        stock.close()


async def test_more_than_the_socket_takes_at_once_goes_both_ways() -> None:
    script = Echo(os.urandom(8 << 20))
    async with serving(_echo) as port:
        assert await talk(port, script) is None
    assert script.heard == script.opening


async def test_tls_without_verification(tmp_path: Path) -> None:
    context = pki.load_or_create(tmp_path, ["elsewhere"]).server_context()
    context.verify_mode = 0  # type: ignore[assignment]
    script = Echo(b"x" * 300_000)
    async with serving(_echo, ssl=context) as port:
        assert await talk(port, script, tls=True) is None
    assert script.heard == script.opening


async def test_being_connected_may_be_all() -> None:
    async with serving(_silent) as port:
        assert await talk(port, None) is None


async def test_nobody_listens() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        error = await talk(closed.getsockname()[1], Echo(b"x"))
    assert isinstance(error, NotConnected) and error.refused


async def test_silence_ends_in_time() -> None:
    async with serving(_silent) as port:
        assert isinstance(await talk(port, Echo(b"x"), timeout_s=0.05), TimeoutError)


async def test_a_peer_that_hangs_up() -> None:
    async with serving(_hangs_up) as port:
        assert isinstance(await talk(port, Echo(b"x")), OSError)


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
async def test_all_addresses_of_a_name_are_tried(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    loop = asyncio.get_running_loop()

    async def found(host: str, port: int, **options: object) -> list[object]:
        both = [(socket.AF_INET6, "::1"), (socket.AF_INET, "127.0.0.1")]
        return [(family, 1, 6, "", (ip, port)) for family, ip in both]

    monkeypatch.setattr(loop, "getaddrinfo", found)
    server = await asyncio.start_server(_silent, address, 0)
    assert await talk(server.sockets[0].getsockname()[1], None, host="both.example") is None
    server.close()


async def test_a_name_is_looked_up() -> None:
    async with serving(_silent) as port:
        assert await talk(port, None, host="localhost") is None
    error = await talk(1, None, host="no-such-name.invalid")
    assert isinstance(error, NotConnected) and isinstance(error.cause, UnknownHost)
    assert str(error) == "lookup no-such-name.invalid: no such host"


def _descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


@pytest.mark.parametrize("wait_s", [0.0, 0.02])
async def test_cancelled_says_nothing_and_leaves_nothing(wait_s: float) -> None:
    stock, heard = SocketStock(Here()), []
    async with serving(_silent) as port:
        before = _descriptors()
        for _ in range(100):
            dialogue = Dialogue(stock, "127.0.0.1", port, Echo(b"x"), heard.append, 0.05)
            await asyncio.sleep(wait_s)
            if not heard:
                break
            heard.clear()  # the machine stood still, and its time was over before it could be cancelled
        dialogue.cancel()
        dialogue.cancel()
        await asyncio.sleep(0.1)
        stock.close()
        assert heard == []
    for _ in range(3000):
        if _descriptors() < before:  # the listener's own has gone too
            return
        await asyncio.sleep(0.01)
    raise AssertionError("descriptors are left")
