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
from sampan.kubelet.network.fake import Here
from sampan.kubelet.probers import Prober, Target, ask
from sampan.kubelet.runtime.contract import ContainerSpec, SandboxSpec
from sampan.kubelet.runtime.fake import FakeRuntime, Process


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
    prober = Prober(FakeRuntime(), Here())
    try:
        return await ask(prober.question(target(port), {"timeoutSeconds": 30, **action, **more}))
    finally:
        prober.close()


@pytest.mark.parametrize(
    ("code", "ok", "text"),
    [
        (200, True, "fine"),
        (204, True, "fine"),
        (299, True, "fine"),
        (399, True, "Probe terminated redirects, Response body: fine"),
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


async def test_redirect_to_another_host_is_success_with_a_warning() -> None:
    async with serving(reply(302, "there", Location="http://example.invalid/")) as (port, _):
        outcome = await probe(port, {"httpGet": {"port": port}})
    assert outcome.ok and outcome.warning
    assert outcome.complaint == "warning: Probe terminated redirects, Response body: there"


async def test_refused() -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
        outcome = await probe(port, {"tcpSocket": {"port": port, "host": "localhost"}})
        addresses = ("127.0.0.1", "[::1]")
        assert outcome.text in [f"dial tcp {it}:{port}: connect: connection refused" for it in addresses]
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

    async def missing(process: Process) -> int:
        raise FileNotFoundError("no such program")

    runtime = FakeRuntime({"slow": slow, "missing": missing})
    await runtime.open()
    await runtime.start_sandbox(SandboxSpec("u", "ns", "web", "web", "/c"))
    spec = ContainerSpec("id", "u", "c", 0, (), ("serve",), {}, "/", "", (), "", "/c")
    await runtime.create(spec)
    await runtime.start("id")
    prober = Prober(runtime, Here())
    outcome = await ask(prober.question(target(1), {"exec": {"command": ["echo", "hi"]}}))
    assert (outcome.ok, outcome.text) == (True, "hi\n")
    assert not (await ask(prober.question(target(1), {"exec": {"command": ["false"]}}))).ok
    outcome = await ask(
        prober.question(target(1), {"exec": {"command": ["slow", "x"]}, "timeoutSeconds": 0.05})
    )
    assert outcome.text.startswith('command timed out: "slow x" timed out after')
    # A command that is not there says nothing about what the container does.
    outcome = await ask(prober.question(target(1), {"exec": {"command": ["missing"]}}))
    assert (outcome.ok, outcome.unknown) == (False, True)
    assert outcome.text == "failed to exec in container: no such program"


def grpc_server(*frames: bytes) -> Answer:
    return lambda request: grpchealth.frame(grpchealth.SETTINGS, 0, 0, b"") + b"".join(frames)


def said(body: bytes) -> bytes:
    message = b"\x00" + len(body).to_bytes(4, "big") + body
    return grpchealth.frame(grpchealth.HEADERS, 4, 1, b"\x88") + grpchealth.frame(
        grpchealth.DATA, 0, 1, message
    )


def trailers(status: int, text: str) -> bytes:
    block = b"\x88\x00\x0bgrpc-status" + bytes((len(str(status)),)) + str(status).encode()
    block += b"\x00\x0cgrpc-message" + bytes((len(text),)) + text.encode()
    return grpchealth.frame(grpchealth.HEADERS, 5, 1, block)


RPC = "error: health rpc probe failed: rpc error: code = "


@pytest.mark.parametrize(
    ("frames", "ok", "text"),
    [
        ([said(b"\x08\x01")], True, "service healthy"),
        ([said(b"\x08\x02")], False, 'service unhealthy (responded with "NOT_SERVING")'),
        ([said(b"")], False, 'service unhealthy (responded with "UNKNOWN")'),
        ([trailers(5, "unknown service")], False, RPC + "NotFound desc = unknown service"),
        (
            [trailers(12, "unknown service grpc.health.v1.Health")],
            False,
            "error: this server does not implement the grpc health protocol (grpc.health.v1.Health): "
            "unknown service grpc.health.v1.Health",
        ),
        (
            [grpchealth.frame(grpchealth.GOAWAY, 0, 0, bytes(8))],
            False,
            RPC + "Unavailable desc = the server has refused the stream",
        ),
        ([b"HTTP/1.1 400 Bad"], False, RPC + "Unavailable desc = the server does not speak HTTP/2"),
        ([], False, RPC + "Unavailable desc = connection closed"),
    ],
)
async def test_grpc(frames: list[bytes], ok: bool, text: str) -> None:
    async with serving(grpc_server(*frames)) as (port, heard):
        outcome = await probe(port, {"grpc": {"port": port}})
        assert (outcome.ok, outcome.text) == (ok, text)
        assert heard[0] == grpchealth.PREFACE[:18]


async def test_grpc_asks_for_the_service() -> None:
    assert grpchealth.opening("10.0.0.1:1", "liveness").endswith(b"\x00\x00\x00\x00\x0a\x0a\x08liveness")


async def test_silence_of_every_kind() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        port = silent.getsockname()[1]
        outcome = await probe(port, {"grpc": {"port": port}}, timeoutSeconds=1)
        assert outcome.text == "timeout: health rpc did not complete within 1s"
    # Nobody answers there at all (TEST-NET-1); where there is no route, it is refused at once.
    outcome = await probe(9, {"tcpSocket": {"port": 9, "host": "192.0.2.1"}}, timeoutSeconds=0.05)
    assert not outcome.ok and outcome.text.startswith("dial tcp 192.0.2.1:9: ")


async def test_headers_that_would_be_another_request_are_not_sent() -> None:
    headers = [{"name": "X", "value": "1\r\n\r\nGET /admin HTTP/1.1"}]
    async with serving(reply(200)) as (port, heard):
        outcome = await probe(port, {"httpGet": {"port": port, "httpHeaders": headers}})
    assert outcome.unknown and heard == []


async def test_a_path_is_one_line() -> None:
    async with serving(reply(200)) as (port, heard):
        await probe(port, {"httpGet": {"port": port, "path": "/a b/\u00fc?x=%20"}})
    assert heard[0].startswith(b"GET /a%20b/%C3%BC?x=%20 HTTP/1.1\r\n")


async def test_port_name_that_no_port_has() -> None:
    prober = Prober(FakeRuntime(), Here())
    for handler in ("httpGet", "tcpSocket"):
        outcome = await ask(prober.question(target(1), {handler: {"port": "nosuch"}}))
        assert outcome.unknown and outcome.text == 'strconv.Atoi: parsing "nosuch": invalid syntax'
