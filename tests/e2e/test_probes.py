"""Probes on a real node: each kind against a real server, the events they make, and what follows from them."""

from __future__ import annotations

import json
from typing import Any

from harness.node import Node, eventually

# Answers an HTTP/2 connection's first frames with SERVING, or NOT_SERVING for the service "dead".
GRPC = """
import socket
s = socket.create_server(("", 5000))
while True:
    c, _ = s.accept()
    asked = c.recv(4096)
    state = b"\\x02" if b"dead" in asked else b"\\x01"
    frame = lambda kind, flags, stream, data: (
        len(data).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + data)
    c.sendall(frame(4, 0, 0, b"") + frame(1, 4, 1, b"\\x88") + frame(0, 0, 1, b"\\0\\0\\0\\0\\2\\x08" + state))
    c.close()
"""
REDIRECT = """
import http.server
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(302)
        self.send_header("Location", "http://elsewhere.example/" if self.path == "/out" else "/gone")
        self.end_headers()
        self.wfile.write(b"moved")
    def log_message(self, *words): pass
http.server.HTTPServer(("", 8000), Handler).serve_forever()
"""


def pod(name: str, *containers: dict[str, Any]) -> str:
    spec = {"terminationGracePeriodSeconds": 0, "containers": list(containers)}
    return json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec})


def container(
    name: str, image: str = "nginx", command: list[str] | None = None, **fields: Any
) -> dict[str, Any]:
    return {"name": name, "image": image, **({"command": command} if command else {}), **fields}


def complaints(node: Node, name: str, namespace: str) -> set[tuple[str, str]]:
    """(reason, message) of the warnings about a Pod."""
    found = node.events(name, namespace)
    return {(event["reason"], event["message"]) for event in found if event["type"] == "Warning"}


def test_every_kind_finds_its_server(node: Node, namespace: str) -> None:
    named = [{"containerPort": 80, "name": "web"}]
    headers = [{"name": "X-A", "value": "1"}]
    containers = [
        container("http", ports=named, readinessProbe={"httpGet": {"port": "web", "httpHeaders": headers}}),
        container("tcp", "toolbox", ["socat", "TCP-LISTEN:7000,fork", "EXEC:cat"]),
        container("grpc", "toolbox", ["python3", "-c", GRPC], readinessProbe={"grpc": {"port": 5000}}),
        container("exec", "busybox", ["sleep", "60"], readinessProbe={"exec": {"command": ["true"]}}),
    ]
    containers[1]["readinessProbe"] = {"tcpSocket": {"port": 7000}}
    for each in containers:
        each["readinessProbe"]["timeoutSeconds"] = 20  # a busy machine is no complaint
    node.apply(pod("well", *containers), namespace)
    node.wait_ready("pod/well", namespace)
    assert complaints(node, "well", namespace) == set()


def test_failures_are_told_in_the_usual_words(node: Node, namespace: str) -> None:
    once = {"periodSeconds": 1, "failureThreshold": 1}
    sleeping = ["sleep", "60"]
    containers = [
        container("code", readinessProbe={"httpGet": {"port": 80, "path": "/nosuch"}, **once}),
        container("shut", "busybox", sleeping, readinessProbe={"tcpSocket": {"port": 81}, **once}),
        container("exec", "busybox", sleeping, readinessProbe={"exec": {"command": ["cat", "/x"]}, **once}),
        container("slow", "busybox", sleeping, readinessProbe={"exec": {"command": ["sleep", "20"]}, **once}),
        container(
            *("grpc", "toolbox", ["python3", "-c", GRPC]),
            readinessProbe={"grpc": {"port": 5000, "service": "dead"}, **once},
        ),
    ]
    node.apply(pod("ill", *containers), namespace)
    address = eventually(lambda: node.get("pod", "ill", namespace)["status"]["podIP"])
    wanted = {
        ("Unhealthy", "Readiness probe failed: HTTP probe failed with statuscode: 404"),
        ("Unhealthy", f"Readiness probe failed: dial tcp {address}:81: connect: connection refused"),
        ("Unhealthy", "Readiness probe failed: cat: can't open '/x': No such file or directory\n"),
        ("Unhealthy", 'Readiness probe failed: command timed out: "sleep 20" timed out after 1s'),
        ("Unhealthy", 'Readiness probe failed: service unhealthy (responded with "NOT_SERVING")'),
    }
    eventually(lambda: wanted <= complaints(node, "ill", namespace))
    statuses = node.get("pod", "ill", namespace)["status"]["containerStatuses"]
    assert [(one["ready"], one["restartCount"]) for one in statuses] == [(False, 0)] * 5


def test_a_redirect_elsewhere_is_a_warning_and_success(node: Node, namespace: str) -> None:
    probe = {"httpGet": {"port": 8000, "path": "/out"}}
    serve = ["python3", "-c", REDIRECT]
    node.apply(pod("moved", container("c", "toolbox", serve, readinessProbe=probe)), namespace)
    node.wait_ready("pod/moved", namespace)
    text = "Readiness probe warning: Probe terminated redirects, Response body: moved"
    eventually(lambda: ("ProbeWarning", text) in complaints(node, "moved", namespace))


def test_liveness_restarts_within_the_probes_own_grace(node: Node, namespace: str) -> None:
    """The Pod would be given ten minutes; the probe gives a second."""
    stubborn = ["sh", "-c", "trap '' TERM; touch /tmp/ok; while :; do sleep 0.1; done"]
    probe = {
        "exec": {"command": ["cat", "/tmp/ok"]},
        "periodSeconds": 1,
        "failureThreshold": 1,
        "timeoutSeconds": 20,
    }
    probe["terminationGracePeriodSeconds"] = 1
    text = json.loads(pod("live", container("c", "busybox", stubborn, livenessProbe=probe)))
    text["spec"]["terminationGracePeriodSeconds"] = 600
    node.apply(json.dumps(text), namespace)
    node.wait_ready("pod/live", namespace)
    node.sh("live", namespace, "rm /tmp/ok")
    eventually(
        lambda: node.get("pod", "live", namespace)["status"]["containerStatuses"][0]["restartCount"] == 1
    )
    said = {event["message"] for event in node.events("live", namespace)}
    assert "Container c failed liveness probe, will be restarted" in said
    node.kubectl("delete", "pod", "live", "-n", namespace, "--grace-period=0", "--force")


def test_startup_holds_the_others_back(node: Node, namespace: str) -> None:
    begin = ["sh", "-c", "sleep 1.5; touch /tmp/up; sleep 60"]
    up = {"exec": {"command": ["test", "-e", "/tmp/up"]}, "periodSeconds": 1, "failureThreshold": 300}
    # Without the startup probe this liveness probe would have ended the container by then.
    alive = {"exec": {"command": ["test", "-e", "/tmp/up"]}, "periodSeconds": 1, "failureThreshold": 1}
    alive["timeoutSeconds"] = up["timeoutSeconds"] = 20
    node.apply(pod("late", container("c", "busybox", begin, startupProbe=up, livenessProbe=alive)), namespace)
    node.wait_ready("pod/late", namespace)
    (status,) = node.get("pod", "late", namespace)["status"]["containerStatuses"]
    assert (status["started"], status["restartCount"]) == (True, 0)
