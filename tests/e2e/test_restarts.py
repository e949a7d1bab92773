"""A node that dies again and again under Pods that work: they and their clients notice nothing."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import statistics
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from harness.node import LIMIT_S, Node, eventually
from mirror import Mirror

RESTARTS = int(os.environ.get("SAMPAN_RESTARTS", "3"))
"""For a long run by hand: `SAMPAN_RESTARTS=100 pytest -s tests/e2e/test_restarts.py`."""
"""Within which all is as it should be after `up`; on a machine with nothing else to do it takes half of one."""

ECHO = (
    "import socket; s = socket.create_server(('', 9000)); c = []\n"
    "while True:\n"
    "  k, _ = s.accept()\n"
    "  d = k.recv(100)\n"
    "  while d: k.sendall(d); d = k.recv(100)\n"
)
COUNT = "i=0; while true; do echo $i; i=$((i+1)); sleep 0.02; done"

WORKING = f"""
apiVersion: v1
kind: Pod
metadata: {{name: working, labels: {{round: "0"}}}}
spec:
  terminationGracePeriodSeconds: 0
  shareProcessNamespace: true
  volumes:
  - name: labels
    downwardAPI: {{items: [{{path: round, fieldRef: {{fieldPath: "metadata.labels['round']"}}}}]}}
  containers:
  - name: echo
    image: toolbox
    command: [python3, -c, {json.dumps(ECHO)}]
    livenessProbe: {{exec: {{command: ["true"]}}, periodSeconds: 1, timeoutSeconds: 20, failureThreshold: 1}}
    readinessProbe: {{tcpSocket: {{port: 9000}}, periodSeconds: 1}}
  - name: count
    image: busybox:1.36
    command: [sh, -c, {json.dumps(COUNT)}]
    readinessProbe: {{exec: {{command: ["true"]}}, periodSeconds: 1, timeoutSeconds: 20, failureThreshold: 1}}
    volumeMounts: [{{name: labels, mountPath: /labels}}]
"""
LATE = """
apiVersion: v1
kind: Pod
metadata: {name: late-ROUND}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - name: c
    image: busybox:1.36
    command: [sleep, infinity]
    readinessProbe: {exec: {command: ["true"]}, periodSeconds: 1}
"""


@pytest.fixture
def mortal(mirror: Mirror, tmp_path: Path) -> Iterator[Node]:
    node = Node(tmp_path, f"mortal-{os.getpid()}", mirror.url)
    node.up()
    try:
        yield node
    finally:
        node.down()


def echoed(connection: socket.socket, word: str) -> bool:
    connection.sendall(word.encode())
    return connection.recv(100).decode() == word


def identity(node: Node) -> dict[str, Any]:
    """What a restart of the node may not change of the Pod."""
    status = node.get("pod", "working", "default")["status"]
    ready = next(each for each in status["conditions"] if each["type"] == "Ready")
    containers = {
        each["name"]: (each["containerID"], each["restartCount"], each["ready"], each["state"])
        for each in status["containerStatuses"]
    }
    return {"ip": status["podIP"], "start": status["startTime"], "ready": ready, "containers": containers}


def node_ready(node: Node) -> bool:
    conditions = node.get("node", node.name, "default")["status"]["conditions"]
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


def label_seen(node: Node, value: str) -> bool:
    """By the container, in its volume."""
    return node.sh("working", "default", "cat /labels/round", "count") == value


def took(look: Callable[[], bool], begun: float) -> float:
    eventually(look, every_s=0.05)
    return time.monotonic() - begun


def report(times: dict[str, list[float]]) -> str:
    return "; ".join(
        f"{what}: median {statistics.median(each):.2f} s, longest {max(each):.2f} s"
        for what, each in times.items()
    )


def test_pods_do_not_notice_that_the_node_dies(mortal: Node) -> None:
    mortal.apply(WORKING, "default")
    mortal.wait_ready("pod/working", "default")
    before, moments = identity(mortal), random.Random(RESTARTS)
    times: dict[str, list[float]] = {"up": [], "node Ready": [], "new label": [], "new Pod": []}
    with socket.create_connection((before["ip"], 9000), timeout=LIMIT_S) as connection:
        for turn in range(1, RESTARTS + 1):
            assert echoed(connection, f"before {turn}")
            mortal.kubectl("label", "--overwrite", "pod", "working", f"round={turn}")
            mortal.apply(LATE.replace("ROUND", str(turn)), "default")
            time.sleep(moments.uniform(0.0, 0.3))
            mortal.kill()
            assert echoed(connection, f"dead {turn}")
            begun = time.monotonic()
            mortal.up()
            times["up"].append(time.monotonic() - begun)
            begun = time.monotonic()
            times["node Ready"].append(took(partial(node_ready, mortal), begun))
            times["new label"].append(took(partial(label_seen, mortal, str(turn)), begun))
            mortal.wait_ready(f"pod/late-{turn}", "default")
            times["new Pod"].append(time.monotonic() - begun)
            assert echoed(connection, f"after {turn}")
            assert identity(mortal) == before, f"restart {turn}"
            mortal.kubectl("delete", "pod", f"late-{turn}")
    print(f"\n{RESTARTS} restarts. {report(times)}")
    reasons = {event["reason"] for event in mortal.events("working", "default")}
    assert reasons == {"Scheduled", "Pulling", "Pulled", "Created", "Started"}
    lines = mortal.kubectl("logs", "working", "-c", "count").out.split()
    assert lines == [str(number) for number in range(len(lines))]
    print(f"{len(lines)} lines of log, none lost or doubled")


@pytest.mark.parametrize("seen", [True, False], ids=["seen", "while the node is dead"])
def test_pause_process_shot_restarts_all_containers(mortal: Node, seen: bool) -> None:
    """With the first process of the namespace all others end; their containers start anew in another."""
    mortal.apply(WORKING, "default")
    mortal.wait_ready("pod/working", "default")
    if not seen:
        mortal.kill()
    paused = next((mortal.data / "containers").glob("*-pause/container.json"))
    os.kill(json.loads(paused.read_text())["init"]["pid"], signal.SIGKILL)
    if not seen:
        mortal.up()

    def back() -> bool:
        containers = identity(mortal)["containers"].values()
        return all(ready and count == 1 for _, count, ready, _ in containers)

    eventually(back)
    listed = mortal.sh("working", "default", "ps", "count")
    assert "catatonit" in listed and "python3" in listed
