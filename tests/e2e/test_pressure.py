"""A node that was told to keep nearly all its memory: short from the beginning."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.node import Node, eventually
from mirror import Mirror

CONFIG = """
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
maxPods: 7
systemReserved: {cpu: 500m}
evictionHard: {memory.available: 99%}
"""


@pytest.fixture
def short(tmp_path: Path, mirror: Mirror) -> Iterator[Node]:
    config = tmp_path / "kubelet.yaml"
    config.write_text(CONFIG)
    node = Node(tmp_path, f"short-{os.getpid()}", mirror.url)
    node.up("--kubelet-config", str(config))
    try:
        yield node
    finally:
        node.down()


def test_a_short_node_says_so_and_takes_no_more(short: Node) -> None:
    def own() -> dict[str, Any]:
        (found,) = json.loads(short.kubectl("get", "nodes", "-o", "json").out)["items"]
        return dict(found)

    def conditions() -> dict[str, str]:
        return {each["type"]: each["status"] for each in own()["status"]["conditions"]}

    eventually(lambda: conditions()["MemoryPressure"] == "True")
    eventually(lambda: "memory-pressure" in str(own()["spec"].get("taints")))
    assert conditions()["Ready"] == "True"
    status, name = own()["status"], own()["metadata"]["name"]
    assert (status["allocatable"]["pods"], status["capacity"]["pods"]) == ("7", "7")
    container = {"name": "c", "image": "busybox", "command": ["sleep", "1000"]}
    for chosen, phase in ((name, "Failed"), (None, "Pending")):
        spec = {"containers": [container], **({"nodeName": chosen} if chosen else {})}
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": phase.lower()}, "spec": spec}
        short.apply(json.dumps(pod), "default")
        eventually(lambda phase=phase: short.get("pod", phase.lower(), "default")["status"]["phase"] == phase)
    refused = short.get("pod", "failed", "default")["status"]
    assert refused["reason"] == "Evicted"
    assert refused["message"] == "Pod was rejected: The node had condition: [MemoryPressure]. "
    said = eventually(lambda: short.events("pending", "default"))
    assert "untolerated taint" in said[0]["message"]
