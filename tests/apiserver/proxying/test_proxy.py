"""Requests through `proxy`, byte for byte, against a server that tells what it was sent."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from sampan.api.objects import Obj
from sampan.api.resources import ENDPOINT_SLICES, NODES, PODS, SERVICES
from sampan.apiserver.proxying.backend import Backend
from sampan.apiserver.proxying.target import Target

ADDRESS = "10.9.8.7"
"""The Pod's; its server is on this machine's loopback, which no proxy would go to."""
BASE = "/api/v1/namespaces/default"

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class World:
    """An API server, and a server behind Pod `p`; `said` is what that one was sent."""

    def __init__(self, api: Any) -> None:
        self.api = api
        self.said: list[bytes] = []
        self.port = 0
        self.talk: Talk = self.echo

    async def echo(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Tells method, path and headers in JSON; `/x` answers are made by the path's name."""
        head = await reader.readuntil(b"\r\n\r\n")
        self.said.append(head)
        first, *lines = head.decode("latin-1").strip().split("\r\n")
        method, path, _ = first.split(" ")
        headers = dict(line.split(": ", 1) for line in lines)
        body = await reader.readexactly(int(headers.get("Content-Length", 0)))
        told = json.dumps({"method": method, "path": path, "headers": headers, "size": len(body)}).encode()
        writer.write(
            b"HTTP/1.1 200 OK\r\nX-Own: 1\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nConnection: X-Hop\r\n"
        )
        writer.write(b"X-Hop: 1\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(told))
        writer.write(b"" if method == "HEAD" else told)
        writer.close()

    def reply(self, data: bytes) -> None:
        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self.said.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(data)
            writer.close()

        self.talk = talk

    async def connect(self) -> Client:
        where = ("127.0.0.1", self.api.server.port)
        return Client(*await asyncio.open_connection(*where, ssl=self.api.tls(), limit=1 << 24))

    async def ask(self, method: str, path: str, *lines: str, body: bytes = b"") -> Answer:
        client = await self.connect()
        try:
            return await client.ask(method, path, *lines, body=body)
        finally:
            client.writer.close()


class Answer:
    def __init__(self, code: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self.code, self.headers, self.body = code, headers, body

    def header(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key.lower() == name.lower()]


class Client:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def ask(self, method: str, path: str, *lines: str, body: bytes = b"") -> Answer:
        head = [f"{method} {path} HTTP/1.1", "Host: api.example", *lines]
        if body:
            head.append(f"Content-Length: {len(body)}")
        self.writer.write("\r\n".join([*head, "", ""]).encode("latin-1") + body)
        return await self.answer(method)

    async def answer(self, method: str) -> Answer:
        async with asyncio.timeout(30):
            first, *rest = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").strip().split("\r\n")
            headers = [tuple(line.split(": ", 1)) for line in rest]
            answer = Answer(int(first.split(" ")[1]), headers, b"")  # type: ignore[arg-type]
            if method != "HEAD" and answer.header("content-length"):
                answer.body = await self.reader.readexactly(int(answer.header("content-length")[0]))
            elif answer.header("transfer-encoding"):
                while size := int(await self.reader.readline(), 16):
                    answer.body += await self.reader.readexactly(size)
                    await self.reader.readline()
            return answer


@pytest.fixture
async def world(api: Any, pod: Callable[..., Obj], monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    world = World(api)

    async def dial(server: Target, tls: object = None) -> Backend:
        assert server.host == ADDRESS
        return await at(replace(server, host="127.0.0.1"))

    at = Backend.dial
    monkeypatch.setattr(Backend, "dial", dial)
    server = await asyncio.start_server(lambda r, w: world.talk(r, w), "127.0.0.1", 0)
    world.port = server.sockets[0].getsockname()[1]
    made = pod("p", "n1")
    made["spec"]["containers"][0]["ports"] = [{"containerPort": world.port}]
    made = await api.create(PODS, made)
    made["status"] = {"podIP": ADDRESS, "podIPs": [{"ip": ADDRESS}], "phase": "Running"}
    await api.call("update", PODS, "p", made, sub="status")
    ports = [{"name": "main", "port": 80, "targetPort": world.port}, {"name": "tls", "port": 443}]
    await api.create(SERVICES, {"metadata": {"name": "s"}, "spec": {"ports": ports}})
    endpoint = {
        "addresses": [ADDRESS],
        "conditions": {"ready": True},
        "targetRef": {"kind": "Pod", "name": "p", "namespace": "default"},
    }
    await api.create(
        ENDPOINT_SLICES,
        {
            "metadata": {"name": "s-1", "labels": {"kubernetes.io/service-name": "s"}},
            "addressType": "IPv4",
            "ports": [{"name": "main", "port": world.port}],
            "endpoints": [endpoint],
        },
    )
    yield world
    server.close()


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
@pytest.mark.parametrize("name", ["pods/p", "services/s:main", "services/http:s:80", "pods/http:p:PORT"])
async def test_every_method_reaches_pods_and_services(world: World, method: str, name: str) -> None:
    path = f"{BASE}/{name.replace('PORT', str(world.port))}/proxy/some/path%20x?a=b%2Fc&d"
    body = b"12345" if method in ("POST", "PUT", "PATCH") else b""
    answer = await world.ask(method, path, body=body)
    assert answer.code == 200
    if method != "HEAD":
        told = json.loads(answer.body)
        assert (told["method"], told["path"], told["size"]) == (method, "/some/path%20x?a=b%2Fc&d", len(body))


async def test_headers(world: World) -> None:
    answer = await world.ask(
        "GET",
        f"{BASE}/pods/p/proxy/",
        "Authorization: Bearer secret",
        "Impersonate-User: root",
        "Connection: keep-alive, X-Mine",
        "X-Mine: 1",
        "X-Other: 2",
        "Cookie: c=1",
        "X-Forwarded-For: 9.9.9.9",
    )
    sent = json.loads(answer.body)["headers"]
    assert sent == {
        "Host": "api.example",
        "X-Other": "2",
        "Cookie": "c=1",
        "X-Forwarded-For": "9.9.9.9, 127.0.0.1",
        "X-Forwarded-Uri": f"{BASE}/pods/p/proxy/",
        "X-Forwarded-Host": "api.example",
        "X-Forwarded-Proto": "https",
        "Connection": "close",
    }
    assert answer.header("set-cookie") == ["a=1", "b=2"] and answer.header("x-own") == ["1"]
    assert answer.header("x-hop") == []


@pytest.mark.parametrize("name", ["pods/p", "services/s:main"])
async def test_without_a_slash_a_page_would_have_wrong_links(world: World, name: str) -> None:
    for method in ("GET", "HEAD"):
        answer = await world.ask(method, f"{BASE}/{name}/proxy?method={method}")
        assert (answer.code, answer.header("location")) == (301, [f"{BASE}/{name}/proxy/?method={method}"])
    told = json.loads((await world.ask("POST", f"{BASE}/{name}/proxy?method=POST")).body)
    assert told["path"] == "/?method=POST"


async def test_nobody_listens(world: World) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        answer = await world.ask("GET", f"{BASE}/pods/p:{port}/proxy/")
    status = json.loads(answer.body)
    cause = f"dial tcp 127.0.0.1:{port}: connect: connection refused"
    assert (answer.code, status["reason"]) == (503, "ServiceUnavailable")
    assert status["message"] == f"error trying to reach service: {cause}"


@pytest.mark.parametrize(
    "data", [b"", b"hello\r\n\r\n", b"HTTP/1.1 200 OK\r\nbad header\r\n\r\n", b"HTTP/1.1 200 OK\r\n"]
)
async def test_an_answer_that_is_none(world: World, data: bytes) -> None:
    world.reply(data)
    answer = await world.ask("GET", f"{BASE}/pods/p/proxy/")
    assert answer.code == 503 and b"error trying to reach service: " in answer.body


async def test_no_such_object(world: World) -> None:
    for name in ("pods/q", "services/q", "services/q:80"):
        assert (await world.ask("GET", f"{BASE}/{name}/proxy/")).code == 404
    assert (await world.ask("GET", f"{BASE}/pods/ftp:p:80/proxy/")).code == 400
    assert (await world.ask("TRACE", f"{BASE}/pods/p/proxy/")).code == 405
    assert (await world.ask("GET", f"{BASE}/pods/p/%70roxy")).code == 404


async def test_redirects_and_links_lead_back_through_the_proxy(world: World) -> None:
    world.reply(b"HTTP/1.1 302 Found\r\nLocation: /login?x\r\nContent-Length: 0\r\n\r\n")
    answer = await world.ask("GET", f"{BASE}/services/s:main/proxy/")
    assert (answer.code, answer.header("location")) == (302, [f"{BASE}/services/s:main/proxy/login?x"])
    page = b'<a href="/rewriteme">test</a>'
    for length in (b"", b"Content-Length: %d\r\n" % len(page)):
        world.reply(b"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=x\r\n" + length + b"\r\n" + page)
        answer = await world.ask("GET", f"{BASE}/services/s:main/proxy/")
        assert answer.body == f'<a href="{BASE}/services/s:main/proxy/rewriteme">test</a>'.encode()


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 Fine\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"2\r\nab\r\n1\r\nc\r\n0\r\n\r\n",
        b"HTTP/1.1 200 Fine\r\n\r\nabc",
        b"HTTP/1.1 200 Fine\r\nContent-Length: 3\r\n\r\nabc",
        b"HTTP/1.0 200 Fine\r\n\r\nabc",
    ],
)
async def test_bodies_of_every_framing(world: World, data: bytes) -> None:
    world.reply(data)
    client = await world.connect()
    for _ in range(2):  # the client's connection goes on
        answer = await client.ask("GET", f"{BASE}/pods/p/proxy/x")
        assert (answer.code, answer.body) == (200, b"abc")
    client.writer.close()


async def test_a_body_that_breaks_off_is_not_passed_on_as_whole(world: World) -> None:
    world.reply(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
    with pytest.raises(asyncio.IncompleteReadError):
        await world.ask("GET", f"{BASE}/pods/p/proxy/x")


async def test_uploads_are_passed_on_as_they_come(world: World) -> None:
    """More than an API object may have, and not all at once."""
    got, size = 0, 40 << 20

    async def sink(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal got
        await reader.readuntil(b"\r\n\r\n")
        while got < size and (data := await reader.read(1 << 16)):
            got += len(data)
        writer.write(b"HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\nok")
        writer.close()

    world.talk = sink
    answer = await world.ask("POST", f"{BASE}/pods/p/proxy/x", body=bytes(size))
    assert (answer.code, got) == (201, size)


async def test_chunked_uploads(world: World) -> None:
    heard = bytearray()

    async def sink(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.extend(await reader.readuntil(b"\r\n\r\n"))
        heard.extend(await reader.readuntil(b"0\r\n\r\n"))
        writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        writer.close()

    world.talk = sink
    client = await world.connect()
    client.writer.write(
        f"POST {BASE}/pods/p/proxy/x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    )
    client.writer.write(b"3\r\nabc\r\n")
    await asyncio.sleep(0.02)
    client.writer.write(b"2\r\nde\r\n0\r\n\r\n")
    assert (await client.answer("POST")).code == 204
    assert b"Transfer-Encoding: chunked\r\n" in heard and heard.endswith(b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")
    client.writer.close()


async def test_a_server_that_answers_early_ends_the_upload(world: World) -> None:
    world.reply(b"HTTP/1.1 413 No\r\nContent-Length: 2\r\n\r\nno")
    client = await world.connect()
    client.writer.write(
        f"POST {BASE}/pods/p/proxy/ HTTP/1.1\r\nHost: x\r\nContent-Length: 999\r\n\r\nab".encode()
    )
    answer = await client.answer("POST")
    assert (answer.code, answer.header("connection")) == (413, ["close"])
    assert await client.reader.read() == b""


async def test_a_refusal_before_the_body_has_come(world: World) -> None:
    client = await world.connect()
    lines = "Host: x\r\nContent-Length: 999"
    client.writer.write(f"POST {BASE}/pods/nosuch/proxy/ HTTP/1.1\r\n{lines}\r\n\r\nab".encode())
    answer = await client.answer("POST")
    assert (answer.code, answer.header("connection")) == (404, ["close"])
    assert await client.reader.read() == b""


async def test_a_client_that_leaves_ends_it_all(world: World) -> None:
    gone = asyncio.Event()

    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\n\r\nfirst")
        await reader.read()
        gone.set()

    world.talk = endless
    client = await world.connect()
    client.writer.write(f"GET {BASE}/pods/p/proxy/x HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    await client.reader.readuntil(b"first")
    client.writer.close()
    async with asyncio.timeout(30):
        await gone.wait()


async def test_upgrades_are_handed_through(world: World) -> None:
    async def websocket(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        key = head.split(b"Sec-Websocket-Key: ")[1].split(b"\r\n")[0]
        token = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n")
        writer.write(b"Sec-WebSocket-Accept: " + token + b"\r\n\r\nhello")
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()

    world.talk = websocket
    client = await world.connect()
    lines = ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Key: abc")
    answer = await client.ask("GET", f"{BASE}/services/s:main/proxy/ws", *lines)
    assert answer.code == 101 and answer.header("upgrade") == ["websocket"]
    assert len(answer.header("sec-websocket-accept")) == 1
    assert await client.reader.readexactly(5) == b"hello"
    sent = bytes(range(256)) * 4096
    client.writer.write(sent)
    async with asyncio.timeout(30):
        assert await client.reader.readexactly(len(sent)) == sent
    client.writer.close()


async def test_an_upgrade_that_is_refused_is_an_answer(world: World) -> None:
    world.reply(b"HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno")
    lines = ("Connection: Upgrade", "Upgrade: websocket")
    answer = await world.ask("GET", f"{BASE}/pods/p/proxy/ws", *lines)
    assert (answer.code, answer.body) == (403, b"no")


async def test_nodes(world: World) -> None:
    addresses = [{"type": "InternalIP", "address": "127.0.0.1"}]
    node = await world.api.create(NODES, {"metadata": {"name": "n1"}})
    node["status"] = {"addresses": addresses, "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}}}
    await world.api.call("update", NODES, "n1", node, sub="status")
    for name in ("n1", "n1:10250"):
        answer = await world.ask("GET", f"/api/v1/nodes/{name}/proxy/healthz")
        assert (answer.code, answer.body) == (200, b"ok")
    assert (await world.ask("GET", "/api/v1/nodes/n1/proxy/nothing")).code == 404
    pods = json.loads((await world.ask("GET", "/api/v1/nodes/n1/proxy/pods")).body)
    assert [item["metadata"]["name"] for item in pods["items"]] == ["p"]
    logs = await world.ask("GET", "/api/v1/nodes/n1/proxy/containerLogs/default/p/c?tailLines=1")
    assert logs.body == b"second\n"
    assert (await world.ask("GET", "/api/v1/nodes/n1/proxy/containerLogs/default/p/x")).code == 404
    # Another port is a server on the node, but not one of the machine's own addresses.
    assert (await world.ask("GET", f"/api/v1/nodes/n1:{world.port}/proxy/")).code == 400


async def test_a_path_cannot_carry_another_request(world: World) -> None:
    path = "/x%0d%0aInjected:%201%0d%0a%0d%0aGET%20/admin"
    told = json.loads((await world.ask("GET", f"{BASE}/pods/p/proxy{path}")).body)
    assert told["path"] == path and "Injected" not in told["headers"] and len(world.said) == 1


@pytest.mark.parametrize(
    "lines",
    [
        ["Content-Length: 3", "Transfer-Encoding: chunked"],
        ["Content-Length: 3", "Content-Length: 4"],
        ["Transfer-Encoding: chunked, identity"],
        ["X-A: 1\rInjected: 1"],
        ["Bad Name: 1"],
    ],
)
async def test_requests_that_two_servers_would_read_differently_go_nowhere(
    world: World, lines: list[str]
) -> None:
    answer = await world.ask("POST", f"{BASE}/pods/p/proxy/x", *lines)
    assert answer.code == 400 and world.said == []
