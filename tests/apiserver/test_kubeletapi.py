"""A node with a process of its own: what the API server asks it, and whom else it lets in."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from sampan.api.errors import StatusError
from sampan.api.objects import Obj
from sampan.api.request import Request, UserInfo
from sampan.api.resources import NODE_METRICS, NODES, PODS, SERVICE_ACCOUNTS
from sampan.apiserver import pki
from sampan.apiserver.http import HttpServer
from sampan.apiserver.kubeletapi import KubeletApi
from sampan.apiserver.proxying import kubelets
from sampan.apiserver.server import ApiServer, ServerConfig
from sampan.apiserver.streams.fake import FakeNode
from sampan.client.client import Client
from sampan.client.https import HttpsTransport
from sampan.store.memory import MemoryStore

ADMIN = UserInfo("admin", ("system:masters", "system:authenticated"))
KUBECTL = shutil.which("kubectl")


@dataclass
class Remote:
    """An API server, and a node that it reaches by TCP alone."""

    server: ApiServer
    node: FakeNode
    https: HttpsTransport
    port: int
    kubeconfig: Path

    async def get(self, path: str) -> bytes:
        return await self.https.raw("GET", path)

    async def kubectl(self, *words: str, stdin: bytes = b"", **env: str) -> tuple[int, bytes, bytes]:
        process = await asyncio.create_subprocess_exec(
            str(KUBECTL),
            f"--kubeconfig={self.kubeconfig}",
            *words,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={**os.environ, **env},
        )
        out, err = await process.communicate(stdin)
        return process.returncode or 0, out, err


def kubelet_tls(keys: pki.Pki) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(keys.certificate("apiserver"), keys.key("apiserver"))
    context.load_verify_locations(keys.ca)
    context.verify_mode = ssl.CERT_OPTIONAL
    return context


@pytest.fixture
async def remote(keys: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Remote]:
    # A node of the test has no address but loopback, where none may be otherwise.
    monkeypatch.setattr(kubelets, "is_proxyable", bool)
    server = ApiServer(ServerConfig(pki_dir=keys), MemoryStore(), lambda name: None)
    await server.start()
    admin = Client(server.transport(ADMIN))
    await admin.create(SERVICE_ACCOUNTS, {"metadata": {"name": "default", "namespace": "default"}})
    sock = socket.create_server(("127.0.0.1", 0))
    sock.setblocking(False)
    port = sock.getsockname()[1]
    node = FakeNode()
    pods: dict[str, Obj] = {}
    listening = HttpServer(
        KubeletApi(node, "n1", lambda namespace, name: pods.get(f"{namespace}/{name}"), pods.values)
    )
    await listening.listen(sock, kubelet_tls(server.pki))
    status = {
        "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
    }
    await admin.create(NODES, {"metadata": {"name": "n1"}, "status": status})
    spec = {"nodeName": "n1", "containers": [{"name": "c", "image": "x"}]}
    pods["default/p"] = await admin.create(
        PODS, {"metadata": {"name": "p", "namespace": "default"}, "spec": spec}
    )
    own = server.pki
    https = HttpsTransport(server.server_url, ca=own.ca, cert=own.certificate("admin"), key=own.key("admin"))
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(
        f"""{{apiVersion: v1, kind: Config, current-context: x,
  contexts: [{{name: x, context: {{cluster: c, user: u}}}}],
  clusters: [{{name: c, cluster: {{server: "{server.server_url}", certificate-authority: "{own.ca}"}}}}],
  users: [{{name: u, user: {{client-certificate: "{own.certificate("admin")}",
    client-key: "{own.key("admin")}"}}}}]}}"""
    )
    try:
        yield Remote(server, node, https, port, kubeconfig)
    finally:
        await https.close()
        await listening.stop()
        await server.stop()


POD = "/api/v1/namespaces/default/pods/p"


async def test_logs_come_from_there(remote: Remote) -> None:
    assert await remote.get(f"{POD}/log") == b"first\nsecond\n"
    assert await remote.get(f"{POD}/log?tailLines=1") == b"second\n"


async def test_a_refusal_of_the_node_is_the_answer(remote: Remote) -> None:
    with pytest.raises(StatusError, match='previous terminated container "c" in pod "p" not found') as caught:
        await remote.get(f"{POD}/log?previous=true")
    assert caught.value.code == 400


async def test_its_pages_and_pods(remote: Remote) -> None:
    assert await remote.get("/api/v1/nodes/n1/proxy/metrics") == b"a_number 1\n"
    assert b'"name":"p"' in await remote.get(
        "/api/v1/nodes/n1:10250/proxy/pods".replace("10250", str(remote.port))
    )


async def test_what_it_uses(remote: Remote) -> None:
    usage = await remote.node.usage()
    answer = await remote.server.transport(ADMIN).call(Request("get", NODE_METRICS, name="n1"))
    assert answer["usage"]["cpu"] == f"{usage.cpu_nanocores}n"


async def ask(remote: Remote, name: str, path: str) -> int:
    own = remote.server.pki
    context = ssl.create_default_context(cafile=str(own.ca))
    if name:
        context.load_cert_chain(own.certificate(name), own.key(name))
    reader, writer = await asyncio.open_connection("127.0.0.1", remote.port, ssl=context)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: n1\r\nConnection: close\r\n\r\n".encode())
    answer = await reader.read()
    writer.close()
    return int(answer.split()[1])


async def test_nobody_else_is_let_in(remote: Remote) -> None:
    assert await remote.get("/api/v1/nodes/n1/proxy/healthz") == b"ok"
    assert await ask(remote, "apiserver-kubelet-client", "/healthz") == 200
    for name in ("", "admin"):
        for path in ("/healthz", "/metrics", "/containerLogs/default/p/c", "/exec/default/p/c?command=x"):
            assert await ask(remote, name, path) == 401


async def test_what_the_api_server_shows_to_nodes_opens_nothing_at_its_own_door(remote: Remote) -> None:
    await remote.get("/api/v1/nodes/n1/proxy/healthz")
    own, name = remote.server.pki, "apiserver-kubelet-client"
    client = Client(
        HttpsTransport(remote.server.server_url, ca=own.ca, cert=own.certificate(name), key=own.key(name))
    )
    with pytest.raises(StatusError) as caught:
        await client.list(PODS)
    assert caught.value.code == 403
    await client.close()


async def test_a_node_that_does_not_answer_is_told_as_upstream_does(remote: Remote) -> None:
    gone = {"status": {"daemonEndpoints": {"kubeletEndpoint": {"Port": 1}}}}
    admin = Client(remote.server.transport(ADMIN))
    await admin.patch(NODES, "n1", gone, subresource="status")
    url = "https://127.0.0.1:1/containerLogs/default/p/c"
    with pytest.raises(StatusError) as caught:
        await remote.get(f"{POD}/log")
    assert caught.value.message == f'Get "{url}": dial tcp 127.0.0.1:1: connect: connection refused'
    assert (await remote.server.transport(ADMIN).call(Request("list", NODE_METRICS)))["items"] == []


@pytest.mark.skipif(KUBECTL is None, reason="needs kubectl")
@pytest.mark.parametrize("websockets", ["true", "false"], ids=["WebSocket", "SPDY"])
async def test_exec_is_handed_through_whatever_the_client_speaks(remote: Remote, websockets: str) -> None:
    env = {"KUBECTL_REMOTE_COMMAND_WEBSOCKETS": websockets}
    assert await remote.kubectl("exec", "p", "--", "echo", "a", "b", **env) == (0, b"a b\n", b"said\n")
    code, _, err = await remote.kubectl("exec", "p", "--", "exit", "3", **env)
    assert code == 3 and b"exit code 3" in err
    much = b"x" * 300_000
    assert (await remote.kubectl("exec", "-i", "p", "--", "cat", stdin=much, **env))[1] == much
