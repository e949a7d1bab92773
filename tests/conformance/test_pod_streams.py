"""Commands and logs over WebSocket, spoken by hand as any client may."""

from __future__ import annotations

import ssl
from urllib.parse import urlencode

import websocket
from kubernetes import client

from harness.conformance import conforms
from harness.node import eventually
from harness.scene import Scene, box, pod


def opened(scene: Scene, subresource: str, protocol: str, **query: str) -> websocket.WebSocket:
    settings: client.Configuration = scene.api.configuration
    url = settings.host.replace("https", "wss", 1)
    path = f"{url}/api/v1/namespaces/{scene.namespace}/pods/p/{subresource}?{urlencode(query, doseq=True)}"
    certificates = {
        "ca_certs": settings.ssl_ca_cert,
        "certfile": settings.cert_file,
        "keyfile": settings.key_file,
    }
    return websocket.create_connection(
        path, subprotocols=[protocol], sslopt={"cert_reqs": ssl.CERT_REQUIRED, **certificates}, timeout=10
    )


def frames(connection: websocket.WebSocket) -> list[bytes]:
    """All until the other side closes."""
    found = []
    while True:
        kind, data = connection.recv_data()
        if kind == websocket.ABNF.OPCODE_CLOSE:
            connection.close()
            return found
        found.append(data)


@conforms("[sig-node] Pods should support remote command execution over websockets [NodeConformance]")
def test_a_command_over_websocket(scene: Scene) -> None:
    scene.ready(pod("p", box("sleep 60", name="main")))
    query = {"command": ["echo", "remote execution test"], "stdout": "1", "stderr": "1", "container": "main"}
    told = frames(opened(scene, "exec", "channel.k8s.io", **query))
    assert b"".join(frame[1:] for frame in told if frame[:1] == b"\1") == b"remote execution test\n"


@conforms(
    "[sig-node] Pods should support retrieving logs from the container over websockets [NodeConformance]"
)
def test_a_log_over_websocket(scene: Scene) -> None:
    scene.ready(pod("p", box("echo container is alive; sleep 60", name="main")))
    eventually(lambda: "alive" in scene.log("p"))
    told = frames(opened(scene, "log", "binary.k8s.io", container="main"))
    assert b"".join(told) == b"container is alive\n"
