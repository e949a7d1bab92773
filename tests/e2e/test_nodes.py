"""Three nodes on one machine: two of them processes that joined through the API, like any other machine."""

from __future__ import annotations

import json
import os
import re
import select
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.node import PROGRAMS, CommandFailed, Node, eventually, run
from mirror import Mirror

GRACE_S = 8
KUBELET = """
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
nodeLeaseDurationSeconds: 4
"""
POD = """
apiVersion: v1
kind: Pod
metadata: {{name: {name}, labels: {{app: {app}, on: {node}}}}}
spec:
  nodeName: {node}
  terminationGracePeriodSeconds: 1
  containers:
  - {{name: web, image: nginx}}
  - {{name: shell, image: toolbox, command: [sleep, infinity]}}
"""
SERVICE = """
apiVersion: v1
kind: Service
metadata: {{name: {name}}}
spec: {{type: NodePort, externalTrafficPolicy: {policy}, selector: {selector}, ports: [{{port: 80}}]}}
"""


class Several(Node):
    """A cluster with its nodes' names, the first one's first."""

    @property
    def names(self) -> list[str]:
        return [self.name, f"{self.name}-2", f"{self.name}-3"]

    def place(self, name: str) -> Path:
        return self.data / "nodes" / name

    def agent(self, name: str) -> int:
        return int((self.place(name) / "lock").read_text())

    def address(self, name: str) -> str:
        listed = json.loads(self.kubectl("get", "node", name, "-o", "json").out)["status"]["addresses"]
        return str(listed[0]["address"])

    def is_ready(self, name: str) -> bool:
        wanted = '{.status.conditions[?(@.type=="Ready")].status}'
        return self.kubectl("get", "node", name, "-o", f"jsonpath={wanted}").out == "True"


@pytest.fixture(scope="module")
def nodes(mirror: Mirror, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Several]:
    work = tmp_path_factory.mktemp("nodes")
    nodes = Several(work, f"many-{os.getpid()}", mirror.url)
    (work / "kubelet.yaml").write_text(KUBELET)
    told = ["--kubelet-config", str(work / "kubelet.yaml"), "--node-monitor-grace-period", str(GRACE_S)]
    nodes.up("--nodes", "3", *told)
    try:
        for number, name in enumerate(nodes.names, 1):
            nodes.apply(POD.format(name=f"pod-{number}", app="web", node=name), "default")
        nodes.apply(SERVICE.format(name="web", policy="Cluster", selector="{app: web}"), "default")
        for number in (1, 2, 3):
            nodes.wait_ready(f"pod/pod-{number}", "default")
        yield nodes
    finally:
        nodes.down()
    assert not nodes.data.exists()


def answered(host: str, port: int = 80) -> str:
    """Which Pod answers the host; "" if nobody does."""
    command = ["curl", "-sS", "-m", "5", "-o", "/dev/null", "-D", "-", f"http://{host}:{port}/"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return next((line.split()[1] for line in done.stdout.splitlines() if line.startswith("X-Pod")), "")


def pod_ip(nodes: Several, name: str) -> str:
    return str(nodes.get("pod", name, "default")["status"]["podIP"])


def node_port(nodes: Several, service: str) -> int:
    return int(nodes.get("service", service, "default")["spec"]["ports"][0]["nodePort"])


def test_pods_of_all_nodes_reach_each_other_by_address_and_by_name(nodes: Several) -> None:
    ips = [pod_ip(nodes, f"pod-{number}") for number in (1, 2, 3)]
    ranges = {
        node["spec"]["podCIDR"]
        for node in json.loads(nodes.kubectl("get", "nodes", "-o", "json").out)["items"]
    }
    assert len(ranges) == 3
    asked = " && ".join(f"curl -sf -m 20 -o /dev/null http://{to}/" for to in [*ips, "web"])

    def reaches(number: int) -> bool:
        return nodes.sh(f"pod-{number}", "default", f"{asked} && echo all", "shell") == "all\n"

    # Rules for the Service reach each node by a watch of its own.
    eventually(lambda: all(reaches(number) for number in (1, 2, 3)))


def test_a_node_port_answers_on_every_node_also_without_such_a_pod(nodes: Several) -> None:
    nodes.apply(
        SERVICE.format(name="third", policy="Cluster", selector="{on: NODE}").replace("NODE", nodes.names[2]),
        "default",
    )
    port = node_port(nodes, "third")
    everywhere = [nodes.address(name) for name in nodes.names]
    eventually(lambda: all(answered(address, port) == "pod-3" for address in everywhere))


def test_local_traffic_is_answered_where_the_pod_is_and_nowhere_else(nodes: Several) -> None:
    nodes.apply(
        SERVICE.format(name="local", policy="Local", selector="{on: NODE}").replace("NODE", nodes.names[2]),
        "default",
    )
    port = node_port(nodes, "local")
    eventually(lambda: answered(nodes.address(nodes.names[2]), port) == "pod-3")
    assert answered(nodes.address(nodes.names[1]), port) == ""


def test_logs_exec_and_ports_of_another_process_s_pods(nodes: Several) -> None:
    assert nodes.sh("pod-3", "default", "hostname", "shell") == "pod-3\n"
    assert "nginx" in nodes.kubectl("logs", "pod-3", "-c", "web").out
    code = nodes.kubectl("exec", "pod-2", "-c", "shell", "--", "sh", "-c", "exit 7", check=False).code
    assert code == 7
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    forwarding = subprocess.Popen(
        [str(PROGRAMS / "kubectl"), "port-forward", "pod-3", f"{port}:80"],
        env=nodes.env,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        assert eventually(lambda: answered("127.0.0.1", port)) == "pod-3"
    finally:
        forwarding.kill()
        forwarding.wait()
    page = nodes.kubectl("get", "--raw", f"/api/v1/nodes/{nodes.names[1]}/proxy/healthz").out
    assert page == "ok"


def test_nobody_without_the_api_servers_certificate_is_let_in(nodes: Several) -> None:
    url = f"https://{nodes.address(nodes.names[1])}:10250/pods"
    assert subprocess.run(["curl", "-sk", "-m", "20", url], capture_output=True, check=False).returncode
    keys = ["--cert", str(nodes.data / "pki/admin.crt"), "--key", str(nodes.data / "pki/admin.key")]
    done = subprocess.run(
        ["curl", "-sk", "-m", "20", *keys, url], capture_output=True, text=True, check=False
    )
    assert json.loads(done.stdout)["code"] == 401


def test_credentials_are_nobody_elses(nodes: Several) -> None:
    for name in nodes.names[1:]:
        place = nodes.place(name)
        assert (place / "pki").stat().st_mode & 0o777 == 0o700
        for file in place.glob("pki/*.pem"):
            assert file.stat().st_mode & 0o777 == 0o600
        eventually(lambda place=place: not (place / "token").exists())  # type: ignore[misc]
        command = Path(f"/proc/{nodes.agent(name)}/cmdline").read_text()
        for text in (command, (place / "sampan.log").read_text(), (nodes.data / "sampan.log").read_text()):
            assert not re.search(r"\b[a-z0-9]{6}\.[a-z0-9]{16}\b", text)
            assert "PRIVATE KEY" not in text
    eventually(lambda: nodes.verb("token", "list").out.splitlines()[1:] == [])


def test_an_agent_that_is_killed_comes_back_and_its_pods_never_noticed(nodes: Several) -> None:
    before = nodes.get("pod", "pod-2", "default")["status"]["containerStatuses"]
    victim = nodes.agent(nodes.names[1])
    os.kill(victim, signal.SIGKILL)
    eventually(lambda: nodes.agent(nodes.names[1]) != victim)
    eventually(lambda: nodes.sh("pod-2", "default", "hostname", "shell", check=False) == "pod-2\n")
    after = nodes.get("pod", "pod-2", "default")["status"]["containerStatuses"]
    assert [each["containerID"] for each in after] == [each["containerID"] for each in before]
    assert [each["restartCount"] for each in after] == [0, 0]


MOVING = """
apiVersion: apps/v1
kind: Deployment
metadata: {{name: moving}}
spec:
  replicas: 1
  selector: {{matchLabels: {{app: moving}}}}
  template:
    metadata: {{labels: {{app: moving}}}}
    spec:
      affinity:
        nodeAffinity:
          preferredDuringSchedulingIgnoredDuringExecution:
          - weight: 100
            preference: {{matchExpressions: [{{key: kubernetes.io/hostname, operator: In, values: [{node}]}}]}}
      tolerations:
      - {{key: node.kubernetes.io/unreachable, operator: Exists, effect: NoExecute, tolerationSeconds: 1}}
      - {{key: node.kubernetes.io/not-ready, operator: Exists, effect: NoExecute, tolerationSeconds: 1}}
      containers: [{{name: web, image: nginx}}]
---
apiVersion: v1
kind: Service
metadata: {{name: moving}}
spec: {{selector: {{app: moving}}, ports: [{{port: 80}}]}}
"""


def test_a_node_that_falls_silent_is_left_by_services_and_pods_and_comes_back(nodes: Several) -> None:
    lost = nodes.names[2]
    nodes.apply(MOVING.format(node=lost), "default")
    nodes.rolled_out("moving", "default")
    (first,) = nodes.list("pods", "default", "app=moving")
    assert first["spec"]["nodeName"] == lost
    agent = os.pidfd_open(nodes.agent(lost))
    try:
        signal.pidfd_send_signal(agent, signal.SIGSTOP)
        eventually(lambda: not nodes.is_ready(lost), GRACE_S * 3)

        def moved() -> bool:
            (endpoint,) = nodes.get("endpoints", "moving", "default")["subsets"][0]["addresses"]
            return bool(endpoint["nodeName"] != lost)

        eventually(moved)
        address = nodes.get("service", "moving", "default")["spec"]["clusterIP"]
        eventually(lambda: answered(address))
    finally:
        signal.pidfd_send_signal(agent, signal.SIGCONT)
        os.close(agent)
    eventually(lambda: nodes.is_ready(lost))
    eventually(lambda: len(nodes.list("pods", "default", "app=moving")) == 1)


def test_a_node_more_and_a_node_less(nodes: Several) -> None:
    nodes.up("--nodes", "4")
    fourth = f"{nodes.name}-4"
    assert nodes.is_ready(fourth)
    nodes.apply(POD.format(name="guest", app="guest", node=fourth), "default")
    nodes.wait_ready("pod/guest", "default")
    with pytest.raises(CommandFailed, match="nothing says which of them should go"):
        nodes.up("--nodes", "2")
    (row,) = [line for line in nodes.verb("node", "ls").out.splitlines() if line.startswith(fourth)]
    assert row.split()[1] == "Ready" and row.split()[3] == "1"
    agent = os.pidfd_open(nodes.agent(fourth))
    try:
        nodes.verb("node", "rm", fourth)
        assert select.select([agent], [], [], 0)[0], "its process has ended"
    finally:
        os.close(agent)
    assert not nodes.place(fourth).exists()
    assert nodes.kubectl("get", "node", fourth, check=False).code
    assert nodes.kubectl("get", "pod", "guest", check=False).code
    with pytest.raises(CommandFailed, match="first node"):
        nodes.verb("node", "rm", nodes.name)


def test_whoever_joins_by_hand_shows_a_token_and_pins_the_ca(nodes: Several, tmp_path: Path) -> None:
    joining = nodes.verb("token", "create", "--ttl", "10m", "--print-join-command").out.split()[1:]
    name = f"{nodes.name}-hand"
    where = ["--name", name, "--data-dir", str(tmp_path / "hand")]
    wrong = [*joining[:-1], f"sha256:{'0' * 64}"]
    refused = run([str(PROGRAMS / "sampan"), *wrong, *where], env=nodes.env)
    assert refused.code == 1 and "the server's CA has the hash" in refused.err
    assert not (tmp_path / "hand").exists()
    joined = run([str(PROGRAMS / "sampan"), *joining, *where], env=nodes.env)
    try:
        assert joined.code == 0, joined.err
        assert nodes.is_ready(name)
        pid = (tmp_path / "hand" / "lock").read_text().strip()
        assert joining[joining.index("--token") + 1] not in Path(f"/proc/{pid}/cmdline").read_text()
    finally:
        left = run([str(PROGRAMS / "sampan"), "down", *where], env=nodes.env)
    assert left.code == 0, left.err
    assert not (tmp_path / "hand").exists()
    nodes.verb("node", "rm", name, "--force")
