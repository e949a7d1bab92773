"""What Pods use, as kubectl and a Prometheus see it."""

from __future__ import annotations

import json

import pytest

from harness.node import Node, eventually

SCRAPER = """
apiVersion: v1
kind: Pod
metadata: {name: scraper}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - name: main
    image: toolbox
    command: [sleep, "1000"]
    env: [{name: NODE, valueFrom: {fieldRef: {fieldPath: status.hostIP}}}]
"""
BUSY = """
apiVersion: v1
kind: Pod
metadata: {name: busy, labels: {app: busy}}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - {name: spin, image: busybox, command: [sh, -c, "while :; do :; done"], resources: {limits: {cpu: 200m}}}
  - name: rest
    image: busybox
    command: [sleep, "1000"]
    readinessProbe: {exec: {command: ["true"]}, periodSeconds: 1}
"""


@pytest.fixture
def busy(node: Node, namespace: str) -> str:
    node.apply(BUSY, namespace)
    node.wait_ready("pod/busy", namespace)
    return namespace


def test_kubectl_top(node: Node, busy: str) -> None:
    """Numbers are there from a Pod's first second on."""

    def top(*words: str) -> list[list[str]]:
        return [line.split() for line in node.kubectl("top", *words).out.splitlines()]

    assert [row[0] for row in top("pod", "-n", busy, "--no-headers")] == ["busy"]

    def told_apart() -> bool:
        rows = {row[1]: row[2] for row in top("pod", "-n", busy, "--containers", "-l", "app=busy")}
        spin, rest = (int(rows[name].removesuffix("m")) for name in ("spin", "rest"))
        return spin > 20 and rest < spin / 2

    eventually(told_apart)  # at once, unless the machine gives nobody a processor
    assert top("pod", "-A", "--no-headers")
    (line,) = top("node", "--no-headers")
    assert line[0] == node.name and line[2].endswith("%") and line[3].endswith("Mi")


def test_the_nodes_pages(node: Node, busy: str) -> None:
    def page(path: str) -> str:
        return node.kubectl("get", "--raw", f"/api/v1/nodes/{node.name}/proxy/{path}").out

    summary = json.loads(page("stats/summary"))
    (pod,) = [pod for pod in summary["pods"] if pod["podRef"]["namespace"] == busy]
    assert {container["name"] for container in pod["containers"]} == {"spin", "rest"}
    assert pod["memory"]["workingSetBytes"] > 0
    assert "rxBytes" in pod["network"]
    where = f'namespace="{busy}",pod="busy"'
    assert f'container_cpu_usage_seconds_total{{container="spin",{where}}}' in page("metrics/resource")
    assert f'container="spin",{where}' in page("metrics/cadvisor")
    assert "kubelet_running_containers" in page("metrics")
    eventually(lambda: f'{{container="rest",{where}' in page("metrics/probes"))
    assert "busy" in page("pods")
    assert json.loads(page("configz"))["kubeletconfig"]["clusterDomain"] == "cluster.local"


def test_a_pod_scrapes_the_nodes_own_port(node: Node, namespace: str) -> None:
    node.apply(SCRAPER, namespace)
    node.wait_ready("pod/scraper", namespace)
    account = "/var/run/secrets/kubernetes.io/serviceaccount"
    ask = f"curl -sS --cacert {account}/ca.crt https://$NODE:10250/metrics/resource"
    shown = node.sh("scraper", namespace, f'{ask} -H "Authorization: Bearer $(cat {account}/token)"')
    assert f'container_start_time_seconds{{container="main",namespace="{namespace}"' in shown
    assert "Unauthorized" in node.sh("scraper", namespace, ask)
