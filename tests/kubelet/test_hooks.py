"""Handlers of hooks: what each does, and in which words it fails."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from sampan.api.objects import Obj
from sampan.kubelet.hooks import HookFailed, Hooks
from sampan.kubelet.network.fake import Here
from sampan.kubelet.probers import Target
from sampan.kubelet.runtime.contract import ContainerSpec, SandboxSpec
from sampan.kubelet.runtime.fake import FakeRuntime

CONTAINER: Obj = {"name": "web", "ports": [{"name": "http", "containerPort": 0}]}


async def run(handler: Obj) -> None:
    runtime = FakeRuntime()
    await runtime.open()
    await runtime.start_sandbox(SandboxSpec("u", "default", "web", "web", "/x"))
    await runtime.create(ContainerSpec("c", "u", "web", 0, (), ["serve"], {}, "/", "", (), "", "/x/c"))
    await runtime.start("c")
    try:
        await Hooks(runtime, Here()).run(Target({}, CONTAINER, "c", "127.0.0.1"), handler)
    finally:
        await runtime.remove_sandbox("u")


async def test_what_succeeds_says_nothing() -> None:
    await run({"exec": {"command": ["true"]}})
    await run({"sleep": {"seconds": 0}})


@pytest.mark.parametrize(
    ("handler", "text"),
    [
        ({"exec": {"command": ["exit", "3"]}}, "command 'exit 3' exited with 3: "),
        ({"httpGet": {"port": "none"}}, 'couldn\'t find port "none" in container'),
        ({"tcpSocket": {"port": 80}}, "invalid handler: tcpSocket"),
    ],
)
async def test_what_fails_says_why(handler: Any, text: str) -> None:
    with pytest.raises(HookFailed) as caught:
        await run(handler)
    assert str(caught.value) == text


@pytest.mark.parametrize(("code", "fails"), [(200, False), (302, False), (404, True)])
async def test_http(code: int, fails: bool) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 %d x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n" % code)
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    handler = {"httpGet": {"port": server.sockets[0].getsockname()[1], "path": "/x"}}
    try:
        if fails:
            with pytest.raises(HookFailed, match="HTTP hook failed with statuscode: 404"):
                await run(handler)
        else:
            await run(handler)
    finally:
        server.close()
