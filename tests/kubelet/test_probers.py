"""One probe against a real socket on loopback: results, and their words."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from sampan.api.objects import Obj
from sampan.kubelet import grpchealth
from sampan.kubelet.probers import Prober, Target
from sampan.kubelet.runtime.contract import ContainerSpec, SandboxSpec
from sampan.kubelet.runtime.fake import FakeRuntime, Process


class Host:
    path = "/proc/self/ns/net"

    async def socket(self, family: int, kind: int) -> socket.socket:
        sock = socket.socket(family, kind)
        sock.setblocking(False)
        return sock


def target(port: int) -> Target:
    container = {"name": "c", "ports": [{"name": "web", "containerPort": port, "protocol": "TCP"}]}
    return Target({}, container, "id", "127.0.0.1")


Answer = Callable[[bytes], bytes]


@asynccontextmanager
async def serving(answer: Answer) -> AsyncIterator[tuple[int, list[bytes]]]:
    heard: list[bytes] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(b"\r\n\r\n")
        heard.append(request)
        writer.write(answer(request))
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1], heard
    finally:
        server.close()


def reply(code: int, body: str = "", **headers: str) -> Answer:
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    text = f"HTTP/1.1 {code} X\r\n{lines}Content-Length: {len(body)}\r\n\r\n{body}"
    return lambda request: text.encode()


async def probe(port: int, action: Obj, **more: Any) -> Any:
    return await Prober(FakeRuntime(), Host()).probe(target(port), {**action, **more})


@pytest.mark.parametrize(
    ("code", "ok", "text"),
    [
        (200, True, "fine"),
        (204, True, "fine"),
        (399, True, "fine"),
        (400, False, "HTTP probe failed with statuscode: 400"),
        (500, False, "HTTP probe failed with statuscode: 500"),
    ],
)
async def test_http_codes(code: int, ok: bool, text: str) -> None:
    async with serving(reply(code, "fine")) as (port, _):
        outcome = await probe(port, {"httpGet": {"port": "web", "path": "/x"}})
    assert (outcome.ok, outcome.text) == (ok, text)


async def test_http_request() -> None:
    async with serving(reply(200)) as (port, heard):
        headers = [{"name": "Host", "value": "me"}, {"name": "X-A", "value": "1"}]
        await probe(port, {"httpGet": {"port": port, "path": "/a?b=c", "httpHeaders": headers}})
    lines = heard[0].decode().split("\r\n")
    assert lines[0] == "GET /a?b=c HTTP/1.1"
    assert {"Host: me", "X-A: 1", "User-Agent: kube-probe/1.35"} <= set(lines)


async def test_redirects_on_the_same_host_are_followed() -> None:
    def answer(request: bytes) -> bytes:
        moved = request.startswith(b"GET / ")
        return (reply(302, Location="/there") if moved else reply(503))(request)

    async with serving(answer) as (port, heard):
        outcome = await probe(port, {"httpGet": {"port": port}})
    assert len(heard) == 2
    assert outcome.text == "HTTP probe failed with statuscode: 503"


async def test_redirect_to_another_host_is_success() -> None:
    async with serving(reply(302, Location="http://example.invalid/")) as (port, _):
        assert (await probe(port, {"httpGet": {"port": port}})).ok


async def test_refused() -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
        outcome = await probe(port, {"httpGet": {"port": port}})
        text = f"dial tcp 127.0.0.1:{port}: connect: connection refused"
        assert (outcome.ok, outcome.refused) == (False, True)
        assert outcome.text == f'Get "http://127.0.0.1:{port}/": {text}'
        outcome = await probe(port, {"tcpSocket": {"port": port}})
        assert (outcome.ok, outcome.refused, outcome.text) == (False, True, text)


async def test_timeouts() -> None:
    async with serving(lambda request: b"") as (port, _):
        with socket.socket() as silent:
            silent.bind(("127.0.0.1", 0))
            silent.listen()
            port = silent.getsockname()[1]
            outcome = await probe(port, {"httpGet": {"port": port}}, timeoutSeconds=0.05)
    assert not outcome.ok and not outcome.refused
    assert outcome.text.endswith("context deadline exceeded (Client.Timeout exceeded while awaiting headers)")


async def test_nonsense_is_a_failure() -> None:
    async with serving(lambda request: b"hello\r\n\r\n") as (port, _):
        assert "malformed HTTP response" in (await probe(port, {"httpGet": {"port": port}})).text
    async with serving(lambda request: b"") as (port, _):
        assert (await probe(port, {"httpGet": {"port": port}})).text.endswith("EOF")


async def test_tcp() -> None:
    async with serving(reply(200)) as (port, _):
        assert (await probe(port, {"tcpSocket": {"port": "web"}})).ok


async def test_exec() -> None:
    async def slow(process: Process) -> int:
        await asyncio.sleep(10)
        return 0

    runtime = FakeRuntime({"slow": slow})
    await runtime.open()
    await runtime.start_sandbox(SandboxSpec("u", "ns", "web", "web", "/c"))
    spec = ContainerSpec("id", "u", "c", 0, (), ("serve",), {}, "/", "", (), "", "/c")
    await runtime.create(spec)
    await runtime.start("id")
    prober = Prober(runtime, Host())
    outcome = await prober.probe(target(1), {"exec": {"command": ["echo", "hi"]}})
    assert (outcome.ok, outcome.text) == (True, "hi\n")
    assert not (await prober.probe(target(1), {"exec": {"command": ["false"]}})).ok
    outcome = await prober.probe(target(1), {"exec": {"command": ["slow", "x"]}, "timeoutSeconds": 0.05})
    assert outcome.text.startswith('command timed out: "slow x" timed out after')


def grpc_server(body: bytes) -> Answer:
    def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
        head = len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big")
        return head + payload

    def answer(request: bytes) -> bytes:
        settings = frame(grpchealth.SETTINGS, 0, 0, b"")
        message = b"\x00" + len(body).to_bytes(4, "big") + body
        return settings + frame(grpchealth.HEADERS, 4, 1, b"\x88") + frame(grpchealth.DATA, 0, 1, message)

    return answer


async def test_grpc() -> None:
    async with serving(grpc_server(b"\x08\x01")) as (port, heard):
        outcome = await probe(port, {"grpc": {"port": port}})
        assert (outcome.ok, outcome.text) == (True, "service healthy")
        assert heard[0] == grpchealth.PREFACE[:18]
    async with serving(grpc_server(b"\x08\x02")) as (port, _):
        outcome = await probe(port, {"grpc": {"port": port}})
        assert outcome.text == 'service unhealthy (responded with "NOT_SERVING")'


async def test_port_name_that_no_port_has() -> None:
    prober = Prober(FakeRuntime(), Host())
    for handler in ("httpGet", "tcpSocket"):
        outcome = await prober.probe(target(1), {handler: {"port": "nosuch"}})
        assert outcome.unknown and outcome.text == 'strconv.Atoi: parsing "nosuch": invalid syntax'
