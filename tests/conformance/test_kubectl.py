"""What people do with kubectl."""

from __future__ import annotations

import json
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from harness.conformance import conforms
from harness.node import eventually, kubectl_path
from harness.scene import Scene, box, condition, is_ready, pod


def kubectl(scene: Scene, *words: str, stdin: str = "", check: bool = True) -> str:
    output = scene.node.kubectl(*words, "-n", scene.namespace, stdin=stdin, check=check)
    return output.out if check else output.out + output.err


def controller(scene: Scene, name: str, replicas: int, image: str = "redis") -> None:
    labels = {"app": name}
    ports = [{"name": "server", "containerPort": 6379}]
    spec = {"containers": [box(name="c", image=image, ports=ports)], "terminationGracePeriodSeconds": 1}
    template = {"metadata": {"labels": labels}, "spec": spec}
    body = {
        "apiVersion": "v1",
        "kind": "ReplicationController",
        "metadata": {"name": name, "labels": labels},
        "spec": {"replicas": replicas, "selector": labels, "template": template},
    }
    kubectl(scene, "create", "-f", "-", stdin=json.dumps(body))
    running(scene, name, replicas)


def running(scene: Scene, app: str, count: int) -> None:
    def look() -> bool:
        found = scene.core.list_namespaced_pod(scene.namespace, label_selector=f"app={app}").items
        return len(found) == count and all(map(is_ready, found))

    eventually(look)


@conforms("[sig-cli] Kubectl client Kubectl api-versions should check if v1 is in available api versions")
def test_api_versions(scene: Scene) -> None:
    assert "v1" in kubectl(scene, "api-versions").splitlines()


@conforms(
    "[sig-cli] Kubectl client Kubectl cluster-info should check if Kubernetes control plane services is included in cluster-info"
)
def test_cluster_info(scene: Scene) -> None:
    assert "Kubernetes control plane" in (said := kubectl(scene, "cluster-info")) and "is running at" in said


@conforms("[sig-cli] Kubectl client Kubectl version should check is all data is printed")
def test_version(scene: Scene) -> None:
    said = json.loads(kubectl(scene, "version", "-o", "json"))
    fields = (
        "major",
        "minor",
        "gitVersion",
        "gitCommit",
        "gitTreeState",
        "buildDate",
        "goVersion",
        "compiler",
        "platform",
    )
    for side in ("clientVersion", "serverVersion"):
        assert all(said[side][field] for field in fields), said[side]


@conforms(
    "[sig-cli] Kubectl client Kubectl describe should check if kubectl describe prints relevant information for rc and pods"
)
def test_describe(scene: Scene) -> None:
    controller(scene, "primary", 1)
    kubectl(scene, "expose", "rc", "primary", "--port=6379")
    (found,) = scene.core.list_namespaced_pod(scene.namespace).items
    for part in (
        "Name:",
        "Namespace:",
        "Labels:",
        "Status:",
        "Controlled By:",
        "Image:",
        "State:",
        "Running",
    ):
        assert part in kubectl(scene, "describe", "pod", found.metadata.name)
    for part in ("Name:", "Selector:", "Replicas:", "Pods Status:", "Pod Template:"):
        assert part in kubectl(scene, "describe", "rc", "primary")
    for part in ("Selector:", "IP:", "Port:", "Endpoints:", "Session Affinity:"):
        assert part in kubectl(scene, "describe", "service", "primary")
    for part in ("Labels:", "Conditions:", "Capacity:", "Version:"):
        assert part in kubectl(scene, "describe", "node")
    for part in ("Name:", "Labels:", "Status:", "Active"):
        assert part in kubectl(scene, "describe", "namespace", scene.namespace)


def deployment(image: str) -> str:
    labels = {"app": "d"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": image}]}}
    spec = {"replicas": 1, "selector": {"matchLabels": labels}, "template": template}
    return json.dumps(
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}, "spec": spec}
    )


@conforms(
    "[sig-cli] Kubectl client Kubectl diff should check if kubectl diff finds a difference for Deployments"
)
def test_diff(scene: Scene) -> None:
    kubectl(scene, "apply", "-f", "-", stdin=deployment("nginx:1.27"))
    said = kubectl(scene, "diff", "-f", "-", stdin=deployment("busybox:1.36"), check=False)
    assert "-        - image: nginx:1.27" in said or "-      - image: nginx:1.27" in said, said
    assert "image: busybox:1.36" in said


@conforms("[sig-cli] Kubectl client Kubectl expose should create services for rc")
def test_expose(scene: Scene) -> None:
    controller(scene, "primary", 1)
    kubectl(scene, "expose", "rc", "primary", "--name=rm2", "--port=1234", "--target-port=6379")
    kubectl(scene, "expose", "service", "rm2", "--name=rm3", "--port=2345", "--target-port=6379")
    for name, port in (("rm2", 1234), ("rm3", 2345)):
        (found,) = scene.core.read_namespaced_service(name, scene.namespace).spec.ports
        assert (found.port, found.target_port) == (port, 6379)


@conforms("[sig-cli] Kubectl client Kubectl label should update the label on a resource")
def test_label(scene: Scene) -> None:
    scene.ready(pod("p", box("sleep 60")))
    kubectl(scene, "label", "pods", "p", "testing-label=testing-label-value")
    assert "testing-label-value" in kubectl(scene, "get", "pod", "p", "-L", "testing-label")
    kubectl(scene, "label", "pods", "p", "testing-label-")
    assert "testing-label-value" not in kubectl(scene, "get", "pod", "p", "-L", "testing-label")


@conforms("[sig-cli] Kubectl client Kubectl patch should add annotations for pods in rc")
def test_patch(scene: Scene) -> None:
    controller(scene, "primary", 1)
    for each in scene.core.list_namespaced_pod(scene.namespace).items:
        kubectl(scene, "patch", "pod", each.metadata.name, "-p", '{"metadata":{"annotations":{"x":"y"}}}')
        assert scene.get(each.metadata.name).metadata.annotations["x"] == "y"


@conforms("[sig-cli] Kubectl client Kubectl replace should update a single-container pod's image")
def test_replace(scene: Scene) -> None:
    kubectl(scene, "run", "p", "--image=nginx:1.27", "--labels=run=p")
    scene.until("p", is_ready)
    stored = kubectl(scene, "get", "pod", "p", "-o", "json")
    kubectl(scene, "replace", "-f", "-", stdin=stored.replace('"nginx:1.27"', '"nginx:1.29"'))
    assert scene.get("p").spec.containers[0].image == "nginx:1.29"


@conforms("[sig-cli] Kubectl client Kubectl run pod should create a pod from an image when restart is Never")
def test_run(scene: Scene) -> None:
    kubectl(scene, "run", "p", "--restart=Never", "--image=nginx:1.27")
    seen = scene.get("p")
    assert (seen.spec.restart_policy, seen.spec.containers[0].image) == ("Never", "nginx:1.27")


@conforms(
    "[sig-cli] Kubectl client Kubectl server-side dry-run should check if kubectl can dry-run update Pods"
)
def test_dry_run(scene: Scene) -> None:
    kubectl(scene, "run", "p", "--image=nginx:1.27", "--labels=run=p")
    scene.until("p", is_ready)
    change = '{"spec":{"containers":[{"name":"p","image":"busybox:1.36"}]}}'
    assert "patched" in kubectl(scene, "patch", "pod", "p", "-p", change, "--dry-run=server")
    assert scene.get("p").spec.containers[0].image == "nginx:1.27"


@contextmanager
def proxy(scene: Scene, *words: str) -> Iterator[subprocess.Popen[str]]:
    argv = [kubectl_path(), "proxy", *words]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, env=scene.node.env) as process:
        try:
            yield process
        finally:
            process.terminate()


@conforms("[sig-cli] Kubectl client Proxy server should support proxy with --port 0")
def test_proxy_on_any_port(scene: Scene) -> None:
    with proxy(scene, "--port=0") as process:
        assert process.stdout is not None
        address = process.stdout.readline().strip().rpartition(" ")[2]
        with urlopen(f"http://{address}/api/", timeout=10) as answer:
            assert json.load(answer)["versions"] == ["v1"]


@conforms("[sig-cli] Kubectl client Proxy server should support --unix-socket=/path")
def test_proxy_on_a_unix_socket(scene: Scene, tmp_path: Path) -> None:
    path = tmp_path / "proxy"
    with proxy(scene, f"--unix-socket={path}"):
        eventually(path.exists)
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(path))
            connection.sendall(b"GET /api/ HTTP/1.0\r\nHost: localhost\r\n\r\n")
            said = b"".join(iter(lambda: connection.recv(65536), b""))
        assert json.loads(said.partition(b"\r\n\r\n")[2])["versions"] == ["v1"]


@conforms("[sig-cli] Kubectl client Update Demo should create and stop a replication controller")
def test_a_replication_controller(scene: Scene) -> None:
    controller(scene, "demo", 2, "nginx")
    kubectl(scene, "delete", "rc", "demo", "--grace-period=0", "--force")
    running(scene, "demo", 0)


@conforms("[sig-cli] Kubectl client Update Demo should scale a replication controller")
def test_scale_a_replication_controller(scene: Scene) -> None:
    controller(scene, "demo", 2, "nginx")
    for replicas in (1, 2):
        kubectl(scene, "scale", "rc", "demo", f"--replicas={replicas}")
        running(scene, "demo", replicas)


LOGS = "i=0; while [ $i -lt 5 ]; do i=$((i+1)); echo line $i; done; sleep 1.5; while :; do echo tick; sleep 0.1; done"


@conforms("[sig-cli] Kubectl logs logs should be able to retrieve and filter logs")
def test_logs(scene: Scene) -> None:
    scene.ready(pod("p", box(LOGS)))
    eventually(lambda: "tick" in scene.log("p"))
    time.sleep(1.2)
    assert "line 1\n" in kubectl(scene, "logs", "p")
    assert kubectl(scene, "logs", "p", "--tail=1") == "tick\n"
    assert len(kubectl(scene, "logs", "p", "--limit-bytes=1")) == 1
    (line,) = kubectl(scene, "logs", "p", "--tail=1", "--timestamps").splitlines()
    assert line.split()[0].count("T") == 1 and line.endswith(" tick")

    def recent() -> list[str]:
        return kubectl(scene, "logs", "p", "--since=1s").splitlines()

    assert "line 1" not in recent()
    said = eventually(recent)  # unless the container stood still for a second
    whole = kubectl(scene, "logs", "p", "--since=24h").splitlines()
    assert len(said) < len(whole) and "line 1" in whole


FRONTEND = """
import http.server, socket, urllib.parse
class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        words = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query)
        host, line = ('primary', 'SET entry ' + words['set'][0]) if 'set' in words else ('replica', 'GET entry')
        with socket.create_connection((host, 6379), 2) as redis:
            redis.sendall(line.encode() + b'\\r\\n')
            said = redis.recv(1000)
        self.send_response(200); self.end_headers(); self.wfile.write(said)
http.server.ThreadingHTTPServer(('', 80), Page).serve_forever()
"""


@conforms("[sig-cli] Kubectl client Guestbook application should create and stop a working application")
def test_the_guestbook(scene: Scene) -> None:
    parts: dict[str, tuple[int, int, dict[str, Any]]] = {
        "primary": (6379, 1, {"image": "redis"}),
        "replica": (
            6379,
            2,
            {
                "image": "redis",
                "args": ["redis-server", "--protected-mode", "no", "--replicaof", "primary", "6379"],
            },
        ),
        "frontend": (80, 1, {"image": "toolbox", "command": ["python3.11", "-c", FRONTEND]}),
    }
    manifests = []
    for name, (port, replicas, container) in parts.items():
        labels = {"app": name}
        template = {
            "metadata": {"labels": labels},
            "spec": {"terminationGracePeriodSeconds": 1, "containers": [{"name": "c", **container}]},
        }
        spec = {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template}
        manifests.append(
            {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": spec}
        )
        ports = [{"port": port}]
        manifests.append(
            {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": {"name": name},
                "spec": {"ports": ports, "selector": labels},
            }
        )
    document = json.dumps({"apiVersion": "v1", "kind": "List", "items": manifests})
    kubectl(scene, "apply", "-f", "-", stdin=document)
    for name in parts:
        scene.node.rolled_out(name, scene.namespace)
    address = scene.core.read_namespaced_service("frontend", scene.namespace).spec.cluster_ip

    def fetched(query: str) -> str:
        with urlopen(f"http://{address}/{query}", timeout=5) as answer:
            return str(answer.read().decode())

    assert "+OK" in eventually(lambda: fetched("?set=hello"))
    eventually(lambda: "hello" in fetched(""))
    kubectl(scene, "delete", "-f", "-", stdin=document)
    eventually(lambda: not scene.core.list_namespaced_pod(scene.namespace).items)


@pytest.mark.parametrize("kind", ["pods", "services", "nodes", "events"])
def test_get_wide_and_yaml(scene: Scene, kind: str) -> None:
    scene.ready(pod("p", box("sleep 60")))
    assert condition(scene.get("p"), "Ready").status == "True"
    for form in ("wide", "yaml", "json", "name"):
        kubectl(scene, "get", kind, "-o", form)
