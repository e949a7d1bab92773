from __future__ import annotations

import asyncio
import datetime
import ipaddress
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import orjson
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from sampan.api.errors import StatusError
from sampan.api.request import JSON_PATCH, WatchEvent
from sampan.api.resources import DEPLOYMENTS, NODES, PODS
from sampan.client.client import Client
from sampan.client.errors import Unreachable
from sampan.client.https import HttpsTransport
from sampan.client.kubeconfig import Access

Key = ec.EllipticCurvePrivateKey


@dataclass
class Asked:
    method: str
    target: str
    headers: dict[str, str]
    body: bytes


Answer = Callable[[Asked, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Server:
    """A scripted HTTP server: `answer` writes each response; `asked` and `connections` tell what came."""

    answer: Answer
    port: int = 0
    asked: list[Asked] = field(default_factory=list)
    connections: int = 0
    peer_certificates: list[object] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        if (tls := writer.get_extra_info("ssl_object")) is not None:
            self.peer_certificates.append(tls.getpeercert())
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
                method, target, _ = head[0].split(" ")
                headers = dict(line.lower().split(": ", 1) for line in head[1:] if line)
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                asked = Asked(method, target, headers, body)
                self.asked.append(asked)
                await self.answer(asked, writer)
                await writer.drain()
                if writer.is_closing():
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


def response(status: int, body: bytes, *headers: str) -> bytes:
    head = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


async def echo(asked: Asked, writer: asyncio.StreamWriter) -> None:
    writer.write(response(200, orjson.dumps({"method": asked.method, "target": asked.target})))


Start = Callable[..., Awaitable[Server]]


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    """Starts scripted servers on loopback."""
    listening: list[asyncio.Server] = []

    async def run(answer: Answer, context: ssl.SSLContext | None = None) -> Server:
        server = Server(answer)
        listener = await asyncio.start_server(server.serve, "127.0.0.1", 0, ssl=context)
        server.port = listener.sockets[0].getsockname()[1]
        listening.append(listener)
        return server

    yield run
    for listener in listening:
        listener.close()


def transport(server: Server) -> HttpsTransport:
    return HttpsTransport(f"http://127.0.0.1:{server.port}")


async def test_requests_take_the_paths_of_the_api(start: Start) -> None:
    server = await start(echo)
    client = Client(transport(server))
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "namespace": "ns"}}
    await client.get(PODS, "a", "ns")
    await client.list(PODS, label_selector="app in (a,b)", params={"limit": "5"})
    await client.create(PODS, pod)
    await client.update_status(PODS, pod)
    await client.patch(PODS, "a", [{"op": "test"}], namespace="ns", content_type=JSON_PATCH)
    await client.get(DEPLOYMENTS, "d", "ns", subresource="scale")
    await client.bind(pod, "n1")
    await client.delete(NODES, "n", uid="u", grace_period_s=0)
    await client.delete_collection(PODS, "ns")
    assert [f"{asked.method} {asked.target}" for asked in server.asked] == [
        "GET /api/v1/namespaces/ns/pods/a",
        "GET /api/v1/pods?limit=5&labelSelector=app+in+%28a%2Cb%29",
        "POST /api/v1/namespaces/ns/pods",
        "PUT /api/v1/namespaces/ns/pods/a/status",
        "PATCH /api/v1/namespaces/ns/pods/a",
        "GET /apis/apps/v1/namespaces/ns/deployments/d/scale",
        "POST /api/v1/namespaces/ns/pods/a/binding",
        "DELETE /api/v1/nodes/n",
        "DELETE /api/v1/namespaces/ns/pods",
    ]
    assert server.asked[4].headers["content-type"] == "application/json-patch+json"
    assert orjson.loads(server.asked[7].body) == {
        "apiVersion": "v1",
        "kind": "DeleteOptions",
        "preconditions": {"uid": "u"},
        "gracePeriodSeconds": 0,
    }
    assert server.connections == 1, "connections are kept"
    await client.close()


async def test_requests_at_once_have_a_connection_each_and_leave_them_for_others(start: Start) -> None:
    async def slow(asked: Asked, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.02)
        await echo(asked, writer)

    server = await start(slow)
    client = Client(transport(server))
    for _ in range(2):
        await asyncio.gather(*(client.get(PODS, f"p{n}", "ns") for n in range(5)))
    assert server.connections == 5
    await client.close()


async def test_a_refusal_is_a_status_error(start: Start) -> None:
    status = {"kind": "Status", "message": "no such pod", "reason": "NotFound", "code": 404}

    async def refuse(asked: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(response(404, orjson.dumps(status), "Retry-After: 3"))

    client = Client(transport(await start(refuse)))
    for _ in range(2):
        with pytest.raises(StatusError) as refusal:
            await client.get(PODS, "a", "ns")
        assert (refusal.value.code, refusal.value.reason) == (404, "NotFound")
        assert refusal.value.headers == {"Retry-After": "3"}
    with pytest.raises(StatusError):
        await anext(client.watch(PODS))
    await client.close()


async def test_a_refusal_that_is_no_status_is_told_as_it_is(start: Start) -> None:
    async def refuse(asked: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(response(503, b"the proxy is tired"))

    client = Client(transport(await start(refuse)))
    with pytest.raises(StatusError) as refusal:
        await client.get(PODS, "a", "ns")
    assert (refusal.value.code, refusal.value.reason) == (503, "ServiceUnavailable")
    assert str(refusal.value) == "the proxy is tired"
    await client.close()


async def test_a_watch_yields_lines_as_they_come(start: Start) -> None:
    lines = [orjson.dumps({"type": "ADDED", "object": {"n": n, "pad": "x" * 100}}) + b"\n" for n in range(3)]
    go = asyncio.Event()

    async def stream(asked: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        writer.write(chunk(lines[0] + lines[1][:7]))
        await go.wait()
        writer.write(chunk(lines[1][7:] + lines[2]) + b"0\r\n\r\n")

    server = await start(stream)
    client = Client(transport(server))
    watch = client.watch(PODS, "ns", revision="5", params={"allowWatchBookmarks": "true"})
    first = await asyncio.wait_for(anext(watch), 30)
    assert first == WatchEvent("ADDED", {"n": 0, "pad": "x" * 100})
    go.set()
    assert [event.object["n"] async for event in watch] == [1, 2]
    assert server.asked[0].target == (
        "/api/v1/namespaces/ns/pods?allowWatchBookmarks=true&resourceVersion=5&watch=true"
    )
    await client.close()


async def test_an_error_within_a_watch_is_raised(start: Start) -> None:
    expired = {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"}

    async def stream(asked: Asked, writer: asyncio.StreamWriter) -> None:
        line = orjson.dumps({"type": "ERROR", "object": expired}) + b"\n"
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk(line) + b"0\r\n\r\n")

    client = Client(transport(await start(stream)))
    with pytest.raises(StatusError) as error:
        await anext(client.watch(PODS))
    assert error.value.code == 410
    await client.close()


async def test_a_watch_that_is_cut_off_is_unreachable(start: Start) -> None:
    async def stream(asked: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk(b'{"type":'))
        await writer.drain()
        writer.close()

    client = Client(transport(await start(stream)))
    with pytest.raises(Unreachable, match="closed the connection"):
        await anext(client.watch(PODS))
    await client.close()


async def test_a_reader_that_leaves_closes_its_watch(start: Start) -> None:
    closed = asyncio.Event()

    async def stream(asked: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        await writer.drain()
        while not writer.is_closing():
            writer.write(chunk(b"\n"))
            await asyncio.sleep(0.01)
        closed.set()

    client = Client(transport(await start(stream)))
    reader = asyncio.ensure_future(anext(client.watch(PODS)))
    await asyncio.sleep(0.05)
    reader.cancel()
    async with asyncio.timeout(30):
        await closed.wait()
    await client.close()


async def test_a_kept_connection_that_the_server_closed_is_replaced(start: Start) -> None:
    async def once(asked: Asked, writer: asyncio.StreamWriter) -> None:
        await echo(asked, writer)
        await writer.drain()
        writer.close()

    server = await start(once)
    client = Client(transport(server))
    for _ in range(3):
        await client.create(NODES, {"metadata": {"name": "n"}})
        await asyncio.sleep(0.02)
    assert server.connections == 3
    await client.close()


async def test_a_read_lost_with_its_kept_connection_is_repeated_and_a_write_is_not(start: Start) -> None:
    async def every_other(asked: Asked, writer: asyncio.StreamWriter) -> None:
        if len(server.asked) % 2 == 0:
            writer.close()
        else:
            await echo(asked, writer)

    server = await start(every_other)
    client = Client(transport(server))
    await client.get(PODS, "a", "ns")
    await client.get(PODS, "a", "ns")
    assert len(server.asked) == 3
    with pytest.raises(Unreachable):
        await client.create(NODES, {"metadata": {"name": "n"}})
    assert len(server.asked) == 4
    await client.close()


async def test_a_cancelled_request_does_not_leave_its_answer_to_the_next(start: Start) -> None:
    async def slow(asked: Asked, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.03)
        await echo(asked, writer)

    client = Client(transport(await start(slow)))
    task = asyncio.create_task(client.get(PODS, "first", "ns"))
    await asyncio.sleep(0.01)
    task.cancel()
    answer = await client.get(PODS, "second", "ns")
    assert answer["target"].endswith("/second")
    await client.close()


async def test_nobody_listening_is_unreachable() -> None:
    with socket.socket() as bound:  # and never listened on
        bound.bind(("127.0.0.1", 0))
        port = bound.getsockname()[1]
        with pytest.raises(Unreachable, match=str(port)):
            await Client(HttpsTransport(f"http://127.0.0.1:{port}")).get(PODS, "a", "ns")


async def test_no_answer_in_time_is_unreachable(start: Start) -> None:
    async def never(asked: Asked, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(1)

    client = Client(transport(await start(never)), timeout_s=0.05)
    with pytest.raises(Unreachable, match=r"get /api/v1/namespaces/ns/pods/a: no answer within 0\.05 s"):
        await client.get(PODS, "a", "ns")
    await client.close()


async def test_something_that_is_no_http_is_unreachable(start: Start) -> None:
    async def gibberish(asked: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0-OpenSSH\r\n\r\n")

    with pytest.raises(Unreachable, match="not an HTTP response"):
        await Client(transport(await start(gibberish))).get(PODS, "a", "ns")


async def test_a_body_without_length_ends_with_the_connection(start: Start) -> None:
    async def old_style(asked: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nConnection: close\r\n\r\nok")
        await writer.drain()
        writer.close()

    assert await transport(await start(old_style)).raw("GET", "/readyz") == b"ok"


@pytest.mark.parametrize("server", ["127.0.0.1:6443", "ftp://x", "https://"])
def test_a_server_that_is_no_url_is_refused(server: str) -> None:
    with pytest.raises(ValueError, match="not the URL"):
        HttpsTransport(server)


@dataclass
class Authority:
    """Makes certificates for the tests, as PEM."""

    key: Key = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))

    def issue(self, name: str, key: Key, *, ca: bool = False) -> bytes:
        now = datetime.datetime.now(datetime.UTC)
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "ca")])
        san = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
        own, parent = x509.SubjectKeyIdentifier, x509.AuthorityKeyIdentifier
        builder = x509.CertificateBuilder(issuer, subject, key.public_key(), x509.random_serial_number())
        builder = builder.not_valid_before(now).not_valid_after(now + datetime.timedelta(hours=1))
        builder = builder.add_extension(x509.BasicConstraints(ca, None), critical=True)
        builder = builder.add_extension(own.from_public_key(key.public_key()), critical=False)
        builder = builder.add_extension(parent.from_issuer_public_key(self.key.public_key()), critical=False)
        if not ca:
            builder = builder.add_extension(san, critical=False)
        return builder.sign(self.key, SHA256()).public_bytes(Encoding.PEM)

    def pair(self, name: str) -> tuple[bytes, bytes]:
        key = ec.generate_private_key(ec.SECP256R1())
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        return self.issue(name, key), pem

    @property
    def certificate(self) -> bytes:
        return self.issue("ca", self.key, ca=True)

    def server_context(self, directory: Path) -> ssl.SSLContext:
        certificate, key = self.pair("server")
        (directory / "server.pem").write_bytes(certificate + key)
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cadata=self.certificate.decode())
        context.verify_mode = ssl.CERT_OPTIONAL
        context.load_cert_chain(directory / "server.pem")
        return context


async def test_the_client_shows_its_certificate_and_checks_the_servers(start: Start, tmp_path: Path) -> None:
    authority = Authority()
    server = await start(echo, authority.server_context(tmp_path))
    certificate, key = authority.pair("kubernetes-admin")
    access = Access(f"https://127.0.0.1:{server.port}", authority.certificate, certificate, key)
    client = Client(HttpsTransport.to(access))
    await client.get(PODS, "a", "ns")
    assert "kubernetes-admin" in str(server.peer_certificates[0])
    await client.close()

    stranger = Client(HttpsTransport(access.server, ca=Authority().certificate))
    with pytest.raises(Unreachable, match="CERTIFICATE_VERIFY_FAILED"):
        await stranger.get(PODS, "a", "ns")


async def test_another_certificate_is_shown_from_then_on(start: Start, tmp_path: Path) -> None:
    authority = Authority()
    server = await start(echo, authority.server_context(tmp_path))
    transport = HttpsTransport(f"https://127.0.0.1:{server.port}", ca=authority.certificate)
    client = Client(transport)
    for name in ("first", "second"):
        (tmp_path / "own.pem").write_bytes(b"".join(authority.pair(name)))
        transport.show(tmp_path / "own.pem")
        await client.get(PODS, "a", "ns")
    shown = [str(certificate) for certificate in server.peer_certificates]
    assert len(shown) == 2 and "first" in shown[0] and "second" in shown[1]
    await client.close()


async def test_anybody_may_be_the_server_where_that_is_said(start: Start, tmp_path: Path) -> None:
    server = await start(echo, Authority().server_context(tmp_path))
    client = Client(HttpsTransport(f"https://127.0.0.1:{server.port}", verify=False))
    await client.get(PODS, "a", "ns")
    await client.close()


async def test_a_token_is_a_bearer(start: Start, tmp_path: Path) -> None:
    authority = Authority()
    server = await start(echo, authority.server_context(tmp_path))
    (tmp_path / "ca.pem").write_bytes(authority.certificate)
    url = f"https://127.0.0.1:{server.port}"
    client = Client(HttpsTransport(url, ca=tmp_path / "ca.pem", token="secret"))
    await client.get(PODS, "a", "ns")
    assert server.asked[0].headers["authorization"] == "bearer secret"
    await client.close()
