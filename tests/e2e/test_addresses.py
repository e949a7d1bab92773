"""Addresses given out while the cluster runs are reached at once, and no longer when they are given back."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.node import Node, eventually

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
  selector: {app: web}
  ports: [{port: 80}]
"""
RANGE = """
apiVersion: networking.k8s.io/v1
kind: ServiceCIDR
metadata: {name: more}
spec: {cidrs: [10.222.0.0/24]}
---
apiVersion: v1
kind: Service
metadata: {name: wide}
spec:
  clusterIP: 10.222.0.9
  selector: {app: web}
  ports: [{port: 80}]
"""


def asked(node: Node, namespace: str, address: str) -> str:
    """What curl in a Pod says: the status, or 000."""
    host = f"[{address}]" if ":" in address else address
    command = f"curl -g -s -o /dev/null -m 10 -w '%{{http_code}}' http://{host}/"
    return node.sh("guest", namespace, command, check=False)[:3]


@pytest.fixture
def pods(node: Node, namespace: str) -> str:
    node.apply(PODS, namespace)
    for pod in ("web", "guest"):
        node.wait_ready(f"pod/{pod}", namespace)
    return namespace


def test_another_range_is_used_and_goes_with_its_last_address(node: Node, pods: str) -> None:
    node.apply(RANGE, pods)
    eventually(lambda: asked(node, pods, "10.222.0.9") == "200")
    node.kubectl("delete", "servicecidr", "more", "--wait=false")
    waits = "jsonpath={.status.conditions[0].reason}"
    eventually(lambda: node.kubectl("get", "servicecidr", "more", "-o", waits).out == "Terminating")
    assert asked(node, pods, "10.222.0.9") == "200"
    node.kubectl("delete", "service", "wide", "-n", pods)
    eventually(lambda: node.kubectl("get", "servicecidr", "more", check=False).code != 0)


@pytest.mark.skipif(not Path("/proc/net/if_inet6").exists(), reason="the kernel has no IPv6")
def test_the_second_family_comes_and_goes_in_place(node: Node, pods: str) -> None:
    def family(policy: str) -> list[str]:
        node.kubectl("patch", "svc", "web", "-n", pods, "-p", f'{{"spec":{{"ipFamilyPolicy":"{policy}"}}}}')
        addresses: list[str] = node.get("service", "web", pods)["spec"]["clusterIPs"]
        return addresses

    first, second = family("RequireDualStack")
    for address in (first, second):
        eventually(lambda address=address: asked(node, pods, address) == "200")
    assert family("SingleStack") == [first]
    eventually(lambda: asked(node, pods, second) == "000")
    assert asked(node, pods, first) == "200"
