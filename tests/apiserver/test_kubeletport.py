"""What a Prometheus gets at a node's own port."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sampan.api.request import Request, UserInfo
from sampan.api.resources import NODES
from sampan.apiserver.server import ApiServer, ServerConfig
from sampan.apiserver.streams.fake import FakeNode
from sampan.store.memory import MemoryStore

USER = UserInfo("admin", ("system:masters", "system:authenticated"))


@pytest.fixture
async def port(keys: Path) -> AsyncIterator[tuple[ApiServer, int]]:
    sock = socket.create_server(("127.0.0.1", 0))
    sock.setblocking(False)
    config = ServerConfig(pki_dir=keys, node_sockets={"n1": sock})
    server = ApiServer(config, MemoryStore(), {"n1": FakeNode()}.get)
    await server.start()
    node = {"metadata": {"name": "n1"}}
    await server.transport(USER).call(Request("create", NODES, "", "", "", {}, node))
    try:
        yield server, sock.getsockname()[1]
    finally:
        await server.stop()


async def ask(server: ApiServer, port: int, path: str, *, known: bool = True) -> tuple[int, bytes]:

    context = ssl.create_default_context(cafile=str(server.pki.ca))
    if known:
        context.load_cert_chain(server.pki.certificate("admin"), server.pki.key("admin"))
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: n1\r\nConnection: close\r\n\r\n".encode())
    head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    return int(head.split()[1]), body


async def test_pages_are_shown_to_those_who_may(port: tuple[ApiServer, int]) -> None:
    assert await ask(*port, "/metrics") == (200, b"a_number 1\n")
    assert (await ask(*port, "/nowhere"))[0] == 404
    assert (await ask(*port, "/metrics", known=False))[0] == 401


@pytest.mark.parametrize("path", ["/../../../pods", "/%2e%2e/pods/x", "//api/v1/pods"])
async def test_it_leads_nowhere_else(port: tuple[ApiServer, int], path: str) -> None:
    assert (await ask(*port, path))[0] == 404
