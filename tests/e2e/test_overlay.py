"""Two nodes whose Pods talk by VXLAN, in both families."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from harness.node import Node, eventually
from mirror import Mirror

MANIFESTS = """
apiVersion: v1
kind: Pod
metadata: {name: web, labels: {app: web}}
spec:
  nodeName: SECOND
  terminationGracePeriodSeconds: 0
  containers:
  - name: main
    image: toolbox
    command: [python3, -m, http.server, --bind, "::", "80"]
    readinessProbe: {httpGet: {port: 80}, periodSeconds: 1}
---
apiVersion: v1
kind: Pod
metadata: {name: near}
spec:
  nodeName: SECOND
  terminationGracePeriodSeconds: 0
  containers: [{name: main, image: toolbox, command: [sleep, infinity]}]
---
apiVersion: v1
kind: Pod
metadata: {name: far}
spec:
  nodeName: FIRST
  terminationGracePeriodSeconds: 0
  containers: [{name: main, image: toolbox, command: [sleep, infinity]}]
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  type: LoadBalancer
  ipFamilyPolicy: PreferDualStack
  externalTrafficPolicy: POLICY
  selector: {app: web}
  ports: [{port: 80}]
"""

pytestmark = pytest.mark.skipif(not Path("/proc/net/if_inet6").exists(), reason="the kernel has no IPv6")


def url(address: str, port: int = 80) -> str:
    return f"http://[{address}]:{port}/" if ":" in address else f"http://{address}:{port}/"


def silent(node: Node, pod: str, targets: Sequence[str]) -> list[str]:
    """Those that do not answer to the Pod; to the host, if it has no name."""
    asked = " ".join(f"'{target}'" for target in targets)
    script = f"for u in {asked}; do curl -gsfk -m 5 -o /dev/null $u || echo $u; done"
    if pod:
        return node.sh(pod, "default", script).split()
    return subprocess.run(script, shell=True, capture_output=True, text=True, check=True).stdout.split()


def test_everything_is_reached_through_the_tunnel(mirror: Mirror, tmp_path: Path) -> None:
    node = Node(tmp_path, f"tunnel-{os.getpid()}", mirror.url)
    node.up("--nodes", "2", "--overlay")
    try:
        told = json.loads(node.kubectl("get", "nodes", "-o", "json").out)["items"]
        first, second = sorted(item["metadata"]["name"] for item in told)
        manifests = MANIFESTS.replace("FIRST", first).replace("SECOND", second)
        node.apply(manifests.replace("POLICY", "Cluster"), "default")
        for name in ("web", "near", "far"):
            node.wait_ready(f"pod/{name}", "default")
        assert node.sh("web", "default", "cat /sys/class/net/eth0/mtu").strip() == "1450"

        nodes = [entry["address"] for item in told for entry in item["status"]["addresses"]]
        nodes = [address for address in nodes if address not in (first, second)]
        pods = [entry["ip"] for entry in node.get("pod", "web", "default")["status"]["podIPs"]]
        service = node.get("service", "web", "default")
        port = service["spec"]["ports"][0]["nodePort"]
        balancers = [entry["ip"] for entry in service["status"]["loadBalancer"]["ingress"]]
        assert len(nodes) == 4
        assert len(pods) == len(balancers) == 2
        outside = [*map(url, pods), *map(url, balancers), *(url(address, port) for address in nodes)]
        inside = [*outside, *map(url, service["spec"]["clusterIPs"]), "https://kubernetes.default/version"]
        for pod, targets in (("far", inside), ("near", inside), ("", outside)):
            eventually(lambda pod=pod, targets=targets: silent(node, pod, targets) == [])

        node.apply(manifests.replace("POLICY", "Local"), "default")
        eventually(lambda: silent(node, "", [*map(url, balancers)]) == [])
    finally:
        node.down()
