"""Containers that are started again and again, on a node that does not make them wait longer each time."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from kubernetes import client, config

from harness.conformance import conforms
from harness.node import Node, eventually
from harness.scene import Manifest, Scene, box, condition, is_ready, pod
from mirror import Mirror

CONFIG = """
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
crashLoopBackOff: {maxContainerRestartPeriod: 1s}
"""
PATIENCE_S = 120.0
"""A busy machine may take its time for each of five starts."""
V = {"volumeMounts": [{"name": "v", "mountPath": "/v"}]}


@pytest.fixture(scope="module")
def scene(mirror: Mirror, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    place = tmp_path_factory.mktemp("restarts")
    told = place / "kubelet.yaml"
    told.write_text(CONFIG)
    node = Node(place, f"restarts-{os.getpid()}", mirror.url)
    node.up("--kubelet-config", str(told))
    try:
        scene = Scene(node, "conformance", config.new_client_from_config(str(node.kubeconfig)))
        scene.core.create_namespace({"metadata": {"name": scene.namespace}})
        yield scene
    finally:
        node.down()


def restarts(seen: client.V1Pod) -> int:
    (status,) = seen.status.container_statuses
    return int(status.restart_count)


def by_turns(name: str, policy: str) -> Manifest:
    """A container that fails, then succeeds, then stays: a file in its volume counts the attempts."""
    script = "echo >> /v/tries; case $(wc -l < /v/tries) in 1) exit 1;; 2) exit 0;; *) exec sleep 600;; esac"
    volumes = [{"name": "v", "emptyDir": {}}]
    return pod(name, box(script, **V), restartPolicy=policy, volumes=volumes)


@conforms(
    "[sig-node] Container Runtime blackbox test when starting a container that exits should run with the expected status [NodeConformance]"
)
def test_every_restart_policy(scene: Scene) -> None:
    scene.create(by_turns("always", "Always"))
    scene.create(by_turns("onfailure", "OnFailure"))
    scene.create(by_turns("never", "Never"))
    assert restarts(scene.until("never", lambda seen: seen.status.phase == "Failed", PATIENCE_S)) == 0
    assert restarts(scene.until("onfailure", lambda seen: seen.status.phase == "Succeeded", PATIENCE_S)) == 1
    always = scene.until("always", lambda seen: is_ready(seen) and restarts(seen) == 2, PATIENCE_S)
    assert always.status.phase == "Running" and always.status.container_statuses[0].state.running


@conforms(
    "[sig-node] InitContainer [NodeConformance] should not start app containers if init containers fail on a RestartAlways pod"
)
def test_a_failed_init_container_is_tried_again(scene: Scene) -> None:
    init = [box("false", name="init1"), box("true", name="init2")]
    scene.create(pod("init", box("sleep 600", name="run1"), initContainers=init, restartPolicy="Always"))

    def tried(seen: client.V1Pod) -> bool:
        statuses = seen.status.init_container_statuses
        return bool(statuses) and statuses[0].restart_count >= 3

    seen = scene.until("init", tried, PATIENCE_S)
    assert seen.status.phase == "Pending"
    initialized = condition(seen, "Initialized")
    assert (initialized.status, initialized.reason) == ("False", "ContainersNotInitialized")
    assert initialized.message == "containers with incomplete status: [init1 init2]"
    later = [seen.status.init_container_statuses[1], seen.status.container_statuses[0]]
    assert [status.state.waiting.reason for status in later] == ["PodInitializing"] * 2
    assert [status.restart_count for status in later] == [0, 0]


@conforms("[sig-node] Probing container should have monotonically increasing restart count [NodeConformance]")
def test_the_count_of_restarts_only_grows(scene: Scene) -> None:
    server = Path(__file__).parent / "servers/failing_http.py"
    scene.config_map("servers", **{server.name: server.read_text()})
    probe = {"httpGet": {"path": "/healthz", "port": 8080}, "periodSeconds": 1, "failureThreshold": 1}
    container = box(
        ["python3.11", f"/servers/{server.name}", "0"],
        image="toolbox",
        volumeMounts=[{"name": "servers", "mountPath": "/servers"}],
        livenessProbe={"initialDelaySeconds": 1, "timeoutSeconds": 2, **probe},
    )
    volumes = [{"name": "servers", "configMap": {"name": "servers"}}]
    scene.create(pod("fails", container, volumes=volumes, restartPolicy="Always"))
    counts: list[int] = []

    def enough() -> bool:
        seen = scene.get("fails")
        counts.append(restarts(seen) if seen.status.container_statuses else 0)
        return counts[-1] >= 5

    eventually(enough, PATIENCE_S)
    assert counts == sorted(counts)
