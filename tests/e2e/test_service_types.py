"""Scene 3: every type of Service, from the manifests of the demo, asked from a Pod and from the host."""

import http.server
import ipaddress
import json
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.node import Node, eventually

TYPES = Path(__file__).parents[2] / "demo" / "types.yaml"
SPACE = "service-types"


@pytest.fixture(scope="module", autouse=True)
def types(node: Node) -> Iterator[None]:
    """One stage for all tests here: they only look."""
    node.kubectl("create", "namespace", SPACE)
    node.apply(TYPES.read_text().replace("default.svc", f"{SPACE}.svc"), SPACE)
    node.kubectl("run", "shell", "--image=toolbox", "-n", SPACE)
    node.kubectl("wait", "--for=condition=Ready", "pods", "--all", "-n", SPACE, "--timeout=120s")
    yield
    node.kubectl("delete", "namespace", SPACE, "--wait=false")


def answer(url: str) -> str:
    """What a Pod answers the host: `who-0 was asked by ADDRESS`."""
    done = subprocess.run(["curl", "-sS", "-m", "20", url], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def from_pod(node: Node, command: str) -> str:
    return node.sh("shell", SPACE, command).strip()


def service(node: Node, name: str) -> dict:
    return node.get("service", name, SPACE)


def external_address(node: Node, name: str) -> str:
    def given() -> str:
        ingress = service(node, name)["status"]["loadBalancer"].get("ingress") or [{}]
        return str(ingress[0].get("ip", ""))

    return eventually(given)


def node_address(node: Node) -> str:
    return str(node.list("nodes", SPACE)[0]["status"]["addresses"][0]["address"])


def pod_address(node: Node, name: str) -> str:
    return str(node.get("pod", name, SPACE)["status"]["podIP"])


def host_address(node: Node) -> str:
    """The host's end of the node's uplink: the source of what the host sends."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((node_address(node), 9))
        return str(probe.getsockname()[0])


def test_cluster_ip_is_reached_by_name_from_a_pod_whose_address_is_kept(node: Node) -> None:
    said = eventually(lambda: from_pod(node, "curl -sS -m 20 http://who-cluster/"))
    assert said.endswith(f"asked by {pod_address(node, 'shell')}")


def test_node_port_answers_on_the_node_and_from_a_pod(node: Node) -> None:
    address = f"{node_address(node)}:{service(node, 'who-node')['spec']['ports'][0]['nodePort']}"
    assert eventually(lambda: answer(f"http://{address}/")).startswith("who-")
    assert from_pod(node, f"curl -sS -m 20 http://{address}/").startswith("who-")


def test_a_load_balancer_has_an_address_at_once_that_the_host_reaches(node: Node) -> None:
    address = external_address(node, "who-balanced")
    assert eventually(lambda: answer(f"http://{address}/")).startswith("who-")
    assert from_pod(node, f"curl -sS -m 20 http://{address}/").startswith("who-")
    assert address in node.kubectl("get", "service", "who-balanced", "-n", SPACE).out


def test_cluster_policy_hides_the_client_and_local_policy_shows_it(node: Node) -> None:
    hidden = eventually(lambda: answer(f"http://{external_address(node, 'who-balanced')}/"))
    assert hidden.strip().endswith(f"asked by {node_address(node)}")
    shown = eventually(lambda: answer(f"http://{external_address(node, 'who-source')}/"))
    assert shown.strip().endswith(f"asked by {host_address(node)}")


def test_local_policy_has_a_health_check_port_that_counts_endpoints(node: Node) -> None:
    port = service(node, "who-source")["spec"]["healthCheckNodePort"]
    said = eventually(lambda: json.loads(answer(f"http://{node_address(node)}:{port}/")))
    assert said["service"] == {"namespace": SPACE, "name": "who-source"}
    assert said["localEndpoints"] == 2


def test_external_name_is_a_cname(node: Node) -> None:
    name = f"who-elsewhere.{SPACE}.svc.cluster.local"
    said = eventually(lambda: from_pod(node, f"dig +short {name}")).split()
    assert said[0] == f"who-cluster.{SPACE}.svc.cluster.local."
    assert said[1] == service(node, "who-cluster")["spec"]["clusterIP"]


def test_headless_gives_pods_and_a_name_for_each(node: Node) -> None:
    name = f"who-headless.{SPACE}.svc.cluster.local"
    wanted = {pod_address(node, "who-0"), pod_address(node, "who-1")}
    eventually(lambda: set(from_pod(node, f"dig +short {name}").split()) == wanted)
    assert from_pod(node, f"dig +short who-1.{name}") == pod_address(node, "who-1")
    served = from_pod(node, f"dig +short SRV _http._tcp.{name}")
    assert f"8080 who-0.{name}." in served


def test_an_affine_client_stays_with_one_pod(node: Node) -> None:
    asked = "for i in $(seq 20); do curl -sS -m 20 http://who-sticky/; done | sort | uniq -c"
    eventually(lambda: from_pod(node, "curl -sS -m 20 http://who-sticky/"))
    assert len(from_pod(node, asked).splitlines()) == 1


def test_both_families(node: Node) -> None:
    addresses = service(node, "who-both")["spec"]["clusterIPs"]
    assert [ipaddress.ip_address(address).version for address in addresses] == [4, 6]
    name = f"who-both.{SPACE}.svc.cluster.local"
    assert eventually(lambda: from_pod(node, f"dig +short AAAA {name}")) == addresses[1]
    said = eventually(lambda: from_pod(node, "curl -sS -6 -m 20 http://who-both/"))
    client = said.rpartition(" ")[2]
    assert client in {entry["ip"] for entry in node.get("pod", "shell", SPACE)["status"]["podIPs"]}
    assert ":" in client
    assert answer(f"http://[{addresses[1]}]/").startswith("who-")


class Database(http.server.BaseHTTPRequestHandler):
    """A server that is no Pod."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "8")
        self.end_headers()
        self.wfile.write(b"database")

    def log_message(self, format: str, *words: object) -> None:
        """Is silent."""


@pytest.mark.parametrize("form", ["endpoints", "endpointslice"])
def test_without_a_selector_the_endpoints_are_what_one_writes(node: Node, form: str) -> None:
    address = host_address(node)
    server = http.server.ThreadingHTTPServer((address, 0), Database)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        node.apply(written(form, address, server.server_port), SPACE)
        ask = "curl -sS -m 20 http://database/"
        assert eventually(lambda: from_pod(node, ask) == "database")
    finally:
        node.kubectl("delete", form, "-n", SPACE, "-l", "written=by-hand")
        server.shutdown()
        server.server_close()


def written(form: str, address: str, port: int) -> str:
    if form == "endpoints":
        return f"""
apiVersion: v1
kind: Endpoints
metadata: {{name: database, labels: {{written: by-hand}}}}
subsets: [{{addresses: [{{ip: {address}}}], ports: [{{port: {port}}}]}}]
"""
    return f"""
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: database-1, labels: {{written: by-hand, kubernetes.io/service-name: database}}}}
addressType: IPv4
endpoints: [{{addresses: [{address}]}}]
ports: [{{port: {port}}}]
"""


def test_discovery_by_environment(node: Node) -> None:
    address = service(node, "who-cluster")["spec"]["clusterIP"]
    node.kubectl("run", "later", "--image=toolbox", "-n", SPACE)
    node.wait_ready("pod/later", SPACE)
    env = node.sh("later", SPACE, "env")
    assert f"WHO_CLUSTER_SERVICE_HOST={address}\n" in env
    assert "WHO_CLUSTER_SERVICE_PORT=80\n" in env
    assert f"WHO_CLUSTER_PORT_80_TCP=tcp://{address}:80\n" in env
