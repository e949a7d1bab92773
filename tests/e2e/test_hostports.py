"""Ports of the node that lead to Pods."""

import subprocess

from harness.node import Node, eventually

PODS = """
apiVersion: v1
kind: Pod
metadata: {name: web}
spec:
  terminationGracePeriodSeconds: 120
  containers:
  - name: main
    image: nginx
    ports: [{containerPort: 80, hostPort: 18080}]
    lifecycle: {preStop: {sleep: {seconds: 120}}}
---
apiVersion: v1
kind: Pod
metadata: {name: guest}
spec:
  terminationGracePeriodSeconds: 0
  containers: [{name: main, image: toolbox, command: [sleep, infinity]}]
---
apiVersion: v1
kind: Pod
metadata: {name: host}
spec:
  terminationGracePeriodSeconds: 0
  hostNetwork: true
  containers: [{name: main, image: toolbox, command: [sleep, infinity]}]
"""


def test_host_port_from_everywhere_until_its_pod_ends(node: Node, namespace: str) -> None:
    node.apply(PODS, namespace)
    for name in ("web", "guest", "host"):
        node.wait_ready(f"pod/{name}", namespace)
    address = node.get("pod", "web", namespace)["status"]["hostIP"]
    url = f"http://{address}:18080/"
    asked = ["curl", "-sS", "-m", "20", url]
    assert "Welcome" in subprocess.run(asked, capture_output=True, text=True, check=True).stdout
    for name, target in (("guest", url), ("host", url), ("host", "http://127.0.0.1:18080/"), ("web", url)):
        assert "Welcome" in node.sh(name, namespace, f"curl -sS -m 20 {target}", check=False), (name, target)
    assert not [event for event in node.events("web", namespace) if event["type"] == "Warning"]

    node.kubectl("delete", "pod", "web", "-n", namespace, "--wait=false")
    eventually(lambda: subprocess.run(asked, capture_output=True).returncode == 7)
    assert node.get("pod", "web", namespace)["metadata"]["deletionTimestamp"], "it still runs its preStop"
    node.kubectl("delete", "pod", "web", "-n", namespace, "--force", "--grace-period=0")
