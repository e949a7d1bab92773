"""exec and logs over WebSocket in all their dialects, frame by frame."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from sampan.api.objects import Obj
from sampan.api.resources import PODS

BASE = "/api/v1/namespaces/default/pods/p"
MASK = bytes(4)


class Socket:
    """A client of our own: no library speaks all the old dialects."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.chosen: str | None = None

    @classmethod
    async def open(cls, api: Any, path: str, *protocols: str) -> Socket:
        where = ("127.0.0.1", api.server.port)
        socket = cls(*await asyncio.open_connection(*where, ssl=api.tls()))
        lines = [f"GET {path} HTTP/1.1", "Host: x", "Connection: Upgrade", "Upgrade: websocket"]
        lines += ["Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="]
        lines += [f"Sec-WebSocket-Protocol: {', '.join(protocols)}"] if protocols else []
        socket.writer.write("\r\n".join([*lines, "", ""]).encode())
        head = (await socket.reader.readuntil(b"\r\n\r\n")).decode()
        assert head.startswith("HTTP/1.1 101 "), head
        for line in head.splitlines():
            if line.lower().startswith("sec-websocket-protocol: "):
                socket.chosen = line.split(": ")[1]
        return socket

    def send(self, data: bytes) -> None:
        self.writer.write(bytes((0x82, 0x80 | len(data))) + MASK + data)

    async def receive(self) -> tuple[int, bytes]:
        """(opcode, payload)"""
        async with asyncio.timeout(30):
            first, size = await self.reader.readexactly(2)
            if size == 126:
                size = int.from_bytes(await self.reader.readexactly(2), "big")
            return first & 15, await self.reader.readexactly(size)

    async def all(self) -> list[tuple[int, bytes]]:
        messages = []
        while (message := await self.receive())[0] != 8:
            messages.append(message)
        self.writer.close()
        return messages


@pytest.fixture
async def running(api: Any, pod: Callable[..., Obj]) -> AsyncIterator[Any]:
    made = await api.create(PODS, pod("p", "n1"))
    made["status"] = {"phase": "Running"}
    await api.call("update", PODS, "p", made, sub="status")
    yield api


EXEC = f"{BASE}/exec?stdout=1&stderr=1&command="


@pytest.mark.parametrize("protocols", [("channel.k8s.io",), ()])
async def test_the_oldest_form_says_nothing_of_success(running: Any, protocols: tuple[str, ...]) -> None:
    socket = await Socket.open(running, f"{EXEC}echo&command=hello", *protocols)
    assert socket.chosen == (protocols[0] if protocols else None)
    assert await socket.all() == [(2, b"\x01"), (2, b"\x01hello\n"), (2, b"\x02said\n")]
    socket = await Socket.open(running, f"{EXEC}exit&command=3", *protocols)
    text = b"command terminated with non-zero exit code: exit status 3"
    assert await socket.all() == [(2, b"\x01"), (2, b"\x03" + text)]


@pytest.mark.parametrize("protocol", ["v4.channel.k8s.io", "v5.channel.k8s.io"])
async def test_newer_forms_end_with_a_status(running: Any, protocol: str) -> None:
    socket = await Socket.open(running, f"{EXEC}exit&command=3", protocol)
    (*_, (_, last)) = await socket.all()
    status = json.loads(last[1:])
    assert (last[0], status["reason"]) == (3, "NonZeroExitCode")
    assert status["details"]["causes"] == [{"reason": "ExitCode", "message": "3"}]
    socket = await Socket.open(running, f"{EXEC}echo", protocol)
    assert json.loads((await socket.all())[-1][1][1:]) == {"metadata": {}, "status": "Success"}


async def test_text_for_those_who_have_nothing_else(running: Any) -> None:
    socket = await Socket.open(running, f"{EXEC}cat&stdin=1", "v4.base64.channel.k8s.io")
    assert await socket.receive() == (1, b"1")
    socket.send(b"0" + base64.b64encode(b"\x00\xff"))
    assert await socket.receive() == (1, b"1" + base64.b64encode(b"\x00\xff"))
    socket.send(b"0!!!")
    assert await socket.receive() == (8, b"\x03\xea")
    socket.writer.close()


async def test_half_close_is_of_the_fifth_version(running: Any) -> None:
    socket = await Socket.open(running, f"{EXEC}cat&stdin=1", "v5.channel.k8s.io")
    socket.send(b"\x00last words")
    socket.send(b"\xff\x00")
    messages = await socket.all()
    assert (2, b"\x01last words") in messages and json.loads(messages[-1][1][1:])["status"] == "Success"
    older = await Socket.open(running, f"{EXEC}cat&stdin=1", "v4.channel.k8s.io")
    older.send(b"\xff\x00")
    older.send(b"\x00more")
    assert [await older.receive(), await older.receive()] == [(2, b"\x01"), (2, b"\x01more")]
    older.writer.close()


async def test_sizes_that_are_none_do_no_harm(running: Any) -> None:
    socket = await Socket.open(
        running, f"{BASE}/exec?stdout=1&stdin=1&tty=1&command=size", "v5.channel.k8s.io"
    )
    for size in (
        b"",
        b"x",
        b"[]",
        b'{"Width":-1,"Height":5}',
        b'{"Width":1e999,"Height":5}',
        b'{"Width":70000}',
    ):
        socket.send(b"\x04" + size)
    socket.send(b'\x04{"Width":81,"Height":25}')
    assert (2, b"\x0181x25") in await socket.all()


@pytest.mark.parametrize(
    ("protocols", "opcode", "first"),
    [(("binary.k8s.io",), 2, b"first\n"), ((), 2, b"first\n"), (("base64.binary.k8s.io",), 1, b"Zmlyc3QK")],
)
async def test_logs(running: Any, protocols: tuple[str, ...], opcode: int, first: bytes) -> None:
    socket = await Socket.open(running, f"{BASE}/log", *protocols)
    messages = await socket.all()
    assert messages[:2] == [(opcode, b""), (opcode, first)] and len(messages) == 3


async def test_followed_logs_end_with_the_client(running: Any) -> None:
    socket = await Socket.open(running, f"{BASE}/log?follow=1&tailLines=1", "binary.k8s.io")
    assert [await socket.receive(), await socket.receive()] == [(2, b""), (2, b"second\n")]
    running.node.more.put_nowait(b"third\n")
    assert await socket.receive() == (2, b"third\n")
    socket.send(b"whatever")
    socket.writer.write(bytes((0x88, 0x82)) + MASK + b"\x03\xe8")
    assert (await socket.receive())[0] == 8
    socket.writer.close()


async def test_unknown_dialects_are_refused(running: Any) -> None:
    for path in (f"{BASE}/log", f"{EXEC}echo"):
        where = ("127.0.0.1", running.server.port)
        reader, writer = await asyncio.open_connection(*where, ssl=running.tls())
        writer.write(
            f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n".encode()
        )
        writer.write(b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: eA==\r\n")
        writer.write(b"Sec-WebSocket-Protocol: chat\r\n\r\n")
        answer = await reader.read()
        writer.close()
        assert answer.startswith(b"HTTP/1.1 400 ") and b"none of the subprotocols" in answer


async def test_the_client_is_heard_after_it_has_been_slow(running: Any) -> None:
    """More output than the connection holds, then input: reading must not have stopped with writing."""
    socket = await Socket.open(running, f"{EXEC}flood&command=8000000&stdin=1", "v5.channel.k8s.io")
    await asyncio.sleep(0.3)
    got = 0
    while got < 8_000_000:
        opcode, payload = await socket.receive()
        assert (opcode, payload[:1]) == (2, b"\x01")
        got += len(payload) - 1
    socket.send(b"\x00heard")
    assert await socket.receive() == (2, b"\x01heard")
    socket.writer.close()
