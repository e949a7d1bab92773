"""Addresses from outside for Services, and Services whose endpoints a user writes by hand."""

from __future__ import annotations

import json
import subprocess
from typing import Any

from harness.node import Node, eventually

SERVER = (
    "mkdir /tmp/www; cd /tmp/www; echo {name} > index.html; exec python3 -m http.server 8088 --bind {bind}"
)


def serve(node: Node, namespace: str, name: str, labels: dict[str, str], bind: str = "::") -> dict[str, Any]:
    """A Pod that answers every request with its name; as it is once it runs."""
    container = {
        "name": "main",
        "image": "toolbox",
        "command": ["sh", "-c", SERVER.format(name=name, bind=bind)],
        "readinessProbe": {"tcpSocket": {"port": 8088}, "periodSeconds": 1},
    }
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": labels},
        "spec": {"containers": [container], "terminationGracePeriodSeconds": 0},
    }
    node.apply(json.dumps(pod), namespace)
    node.wait_ready(f"pod/{name}", namespace)
    return node.get("pod", name, namespace)


def service(node: Node, namespace: str, name: str, **spec: Any) -> None:
    ports = [{"port": 80, "targetPort": 8088}]
    body = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"ports": ports, **spec},
    }
    node.apply(json.dumps(body), namespace)


def given(node: Node, namespace: str, name: str) -> list[str]:
    status = node.get("service", name, namespace)["status"]
    return [entry["ip"] for entry in status["loadBalancer"].get("ingress") or []]


def url(address: str) -> str:
    return f"http://[{address}]/" if ":" in address else f"http://{address}/"


def ask(address: str) -> str:
    """What answers a request of the host; "" where nobody does."""
    argv = ["curl", "-g", "-sS", "-m", "5", url(address)]
    return subprocess.run(argv, capture_output=True, text=True, check=False).stdout.strip()


def test_reached_from_host_and_pod_in_every_family(node: Node, namespace: str) -> None:
    web = serve(node, namespace, "web", {"app": "web"})
    selector = {"app": "web"}
    service(node, namespace, "lb", type="LoadBalancer", ipFamilyPolicy="PreferDualStack", selector=selector)
    # As many as the Service has families, which are as many as the Pod has addresses.
    eventually(lambda: len(given(node, namespace, "lb")) == len(web["status"]["podIPs"]))
    found = node.get("service", "lb", namespace)
    assert found["metadata"]["finalizers"] == ["service.kubernetes.io/load-balancer-cleanup"]
    for address in given(node, namespace, "lb"):
        eventually(lambda address=address: ask(address) == "web")  # type: ignore[misc]
        inside = node.sh("web", namespace, f"curl -g -sS -m 20 {url(address)}")
        assert inside.strip() == "web"
    shown = node.kubectl("get", "service", "lb", "-n", namespace).out
    assert ",".join(given(node, namespace, "lb")) in shown
    told = {"EnsuringLoadBalancer", "EnsuredLoadBalancer"}
    eventually(lambda: told <= {event["reason"] for event in node.events("lb", namespace)})


def test_another_type_gives_the_address_back(node: Node, namespace: str) -> None:
    serve(node, namespace, "web", {"app": "web"})
    service(node, namespace, "lb", type="LoadBalancer", selector={"app": "web"})
    eventually(lambda: given(node, namespace, "lb"))
    (address,) = given(node, namespace, "lb")
    eventually(lambda: ask(address) == "web")
    node.kubectl("patch", "service", "lb", "-n", namespace, "-p", '{"spec":{"type":"ClusterIP"}}')
    eventually(lambda: not given(node, namespace, "lb"))
    eventually(lambda: not node.get("service", "lb", namespace)["metadata"].get("finalizers"))
    eventually(lambda: ask(address) == "")
    # Whoever asks for it can have it, and who goes leaves nothing behind.
    service(node, namespace, "next", type="LoadBalancer", loadBalancerIP=address, selector={"app": "web"})
    eventually(lambda: given(node, namespace, "next") == [address])
    eventually(lambda: ask(address) == "web")
    node.kubectl("delete", "service", "next", "-n", namespace)
    eventually(lambda: ask(address) == "")


def test_endpoints_written_by_hand_lead_to_a_server_that_no_selector_knows(
    node: Node, namespace: str
) -> None:
    addresses = {
        name: serve(node, namespace, name, {}, "0.0.0.0")["status"]["podIP"] for name in ("old", "new")
    }
    service(node, namespace, "db")
    cluster_ip = node.get("service", "db", namespace)["spec"]["clusterIP"]

    def write(name: str) -> None:
        subset = {"addresses": [{"ip": addresses[name]}], "ports": [{"port": 8088}]}
        body = {"apiVersion": "v1", "kind": "Endpoints", "metadata": {"name": "db"}, "subsets": [subset]}
        node.apply(json.dumps(body), namespace)

    for name in addresses:
        write(name)
        eventually(lambda name=name: ask(cluster_ip) == name)  # type: ignore[misc]
        assert node.sh("old", namespace, "curl -sS -m 20 http://db/").strip() == name
    (piece,) = node.list("endpointslices", namespace, "kubernetes.io/service-name=db")
    labels = piece["metadata"]["labels"]
    assert labels["endpointslice.kubernetes.io/managed-by"] == "endpointslicemirroring-controller.k8s.io"
    node.kubectl("delete", "endpoints", "db", "-n", namespace)
    eventually(lambda: ask(cluster_ip) == "")
    assert not node.list("endpointslices", namespace, "kubernetes.io/service-name=db")
