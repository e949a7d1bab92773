"""Pods, Services, names and the way out by both families."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from harness.node import Node, eventually
from mirror import Mirror

PODS = """
apiVersion: v1
kind: Pod
metadata: {name: web, labels: {app: web}}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - name: main
    image: toolbox
    command: [python3, -m, http.server, --bind, "::", "80"]
    readinessProbe: {httpGet: {port: 80}, periodSeconds: 1}
    env:
    - {name: PODS, valueFrom: {fieldRef: {fieldPath: status.podIPs}}}
    - {name: HOSTS, valueFrom: {fieldRef: {fieldPath: status.hostIPs}}}
---
apiVersion: v1
kind: Pod
metadata: {name: guest}
spec:
  terminationGracePeriodSeconds: 0
  containers: [{name: main, image: toolbox, command: [sleep, infinity]}]
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  type: NodePort
  ipFamilyPolicy: PreferDualStack
  selector: {app: web}
  ports: [{port: 80}]
"""
ASK_BY_UDP = """python3 -c '
import socket, sys
s = socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(5)
s.connect((sys.argv[1], int(sys.argv[2])))
s.send(b"ping")
print(s.recv(100).decode())
' {} {}"""

pytestmark = pytest.mark.skipif(not Path("/proc/net/if_inet6").exists(), reason="the kernel has no IPv6")


def url(address: str, port: int = 80) -> str:
    return f"http://[{address}]:{port}/" if ":" in address else f"http://{address}:{port}/"


def get(node: Node, namespace: str, target: str) -> str:
    return node.sh(
        "guest", namespace, f"curl -gsS -m 20 -o /dev/null -w '%{{http_code}}' '{target}'", check=False
    )


def test_everything_has_two_addresses_and_answers_at_both(node: Node, namespace: str) -> None:
    node.apply(PODS, namespace)
    for name in ("web", "guest"):
        node.wait_ready(f"pod/{name}", namespace)
    status = node.get("pod", "web", namespace)["status"]
    pods = [entry["ip"] for entry in status["podIPs"]]
    nodes = [entry["ip"] for entry in status["hostIPs"]]
    assert [":" in ip for ip in pods] == [":" in ip for ip in nodes] == [False, True]
    assert status["podIP"] == pods[0]

    told = node.get("node", status_node(node, namespace), "default")
    internal = [entry["address"] for entry in told["status"]["addresses"] if entry["type"] == "InternalIP"]
    assert internal == nodes
    assert [":" in cidr for cidr in told["spec"]["podCIDRs"]] == [False, True]

    seen = node.sh("web", namespace, "echo $PODS $HOSTS; cat /etc/hosts")
    assert f"{','.join(pods)} {','.join(nodes)}\n" in seen
    for ip in pods:
        assert f"\n{ip}\tweb\n" in seen

    service = node.get("service", "web", namespace)["spec"]
    port = service["ports"][0]["nodePort"]
    targets = [
        *map(url, pods),
        *map(url, service["clusterIPs"]),
        *(url(ip, port) for ip in nodes),
        url("web"),
    ]
    for target in targets:
        eventually(lambda target=target: get(node, namespace, target) == "200")
    for kind, ip in zip(("A", "AAAA"), service["clusterIPs"], strict=True):
        name = f"web.{namespace}.svc.cluster.local"
        assert node.sh("guest", namespace, f"dig +short {kind} {name}").strip() == ip


def status_node(node: Node, namespace: str) -> str:
    name: str = node.get("pod", "web", namespace)["spec"]["nodeName"]
    return name


@contextmanager
def echo(address: str) -> Iterator[int]:
    """A UDP server of the machine that sends everything back; its port."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.bind((address, 0))

        def serve() -> None:
            while True:
                data, client = sock.recvfrom(100)
                if data == b"end":
                    return
                sock.sendto(data, client)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield sock.getsockname()[1]
        finally:
            with socket.socket(family, socket.SOCK_DGRAM) as last:
                last.sendto(b"end", sock.getsockname()[:2])
            thread.join()


def own_address(towards: str) -> str:
    """The machine's address on its way to `towards`; "" where there is no way."""
    family = socket.AF_INET6 if ":" in towards else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        try:
            sock.connect((towards, 9))
        except OSError:
            return ""
        address: str = sock.getsockname()[0]
        return address


@pytest.mark.parametrize("towards", ["198.51.100.1", "2001:db8::1"], ids=["ipv4", "ipv6"])
def test_datagrams_and_connections_leave_the_cluster(node: Node, namespace: str, towards: str) -> None:
    outside = own_address(towards)
    if not outside:
        pytest.skip("this machine has no way out by that family")
    node.apply(PODS.split("---")[1], namespace)
    node.wait_ready("pod/guest", namespace)
    with echo(outside) as port:
        assert node.sh("guest", namespace, ASK_BY_UDP.format(outside, port)).strip() == "ping"
    family = socket.AF_INET6 if ":" in outside else socket.AF_INET
    with socket.create_server((outside, 0), family=family) as server:
        port = server.getsockname()[1]
        target = url(outside, port)
        thread = threading.Thread(target=answer_once, args=(server,))
        thread.start()
        assert get(node, namespace, target) == "204"
        thread.join()


def answer_once(server: socket.socket) -> None:
    server.settimeout(30)
    connection, _ = server.accept()
    with connection:
        connection.recv(1000)
        connection.sendall(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")


def test_a_cluster_of_ipv6_alone(mirror: Mirror, tmp_path: Path) -> None:
    node = Node(tmp_path, "six", mirror.url)
    node.up("--ip-families", "ipv6")
    try:
        node.apply(PODS, "default")
        for name in ("web", "guest"):
            node.wait_ready(f"pod/{name}", "default")
        status = node.get("pod", "web", "default")["status"]
        assert [":" in entry["ip"] for entry in status["podIPs"]] == [True]
        eventually(lambda: get(node, "default", url("web")) == "200")
        refused = node.sampan("up", "--ip-families", "ipv4,ipv6")
        assert refused.code == 1 and "the primary family of 'six' is IPv6" in refused.err
    finally:
        node.down()
