"""Probes decide about restarts and readiness.

All Pods of this file are started by its first test, so that their waiting goes on side by side.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client

from harness.conformance import conforms
from harness.node import Node
from harness.scene import Manifest, Scene, box, condition, is_ready, pod

SERVERS = Path(__file__).parent / "servers"
QUIET_S = 5.0
"""How long a Pod that should not be restarted has to have been running."""
QUICK = {"periodSeconds": 1, "failureThreshold": 1, "timeoutSeconds": 2}
HEALTH_FILE = "touch /tmp/health; {then}exec sleep 600"


def served(file: str, *arguments: str, **probes: Any) -> Manifest:
    """A container that runs one of the servers."""
    mount = {"name": "servers", "mountPath": "/servers"}
    command = ["python3.11", f"/servers/{file}", *arguments]
    return box(command, image="toolbox", volumeMounts=[mount], **probes)


def lives(handler: Manifest, **more: Any) -> Manifest:
    return {"livenessProbe": {**QUICK, "initialDelaySeconds": 1, **handler, **more}}


def stays_alive(handler: Manifest) -> Manifest:
    """Never to fail; a busy machine may start a server late and answer late."""
    started = {"startupProbe": {**QUICK, "failureThreshold": 120, **handler}}
    return {**started, **lives(handler, failureThreshold=3, timeoutSeconds=5, initialDelaySeconds=0)}


def reads(handler: Manifest, **more: Any) -> Manifest:
    return {"readinessProbe": {**QUICK, **handler, **more}}


def healthz(port: int = 8080) -> Manifest:
    return {"httpGet": {"path": "/healthz", "port": port}}


CAT = {"exec": {"command": ["cat", "/tmp/health"]}}
CONTAINERS: dict[str, Manifest] = {
    "exec-stays": box(HEALTH_FILE.format(then=""), **stays_alive(CAT)),
    "exec-fails": box(HEALTH_FILE.format(then="sleep 2; rm /tmp/health; "), **lives(CAT)),
    "http-stays": served("failing_http.py", "600", **stays_alive(healthz())),
    "http-fails": served("failing_http.py", "2", **lives(healthz())),
    "tcp-stays": served("failing_http.py", "1", **stays_alive({"tcpSocket": {"port": 8080}})),
    "grpc-stays": served("grpc_health.py", "5000", **stays_alive({"grpc": {"port": 5000}})),
    "grpc-fails": served("grpc_health.py", "5000", **lives({"grpc": {"port": 2333}})),
    "never-ready": box("exec sleep 600", **reads({"exec": {"command": ["false"]}})),
    "ready-late": box("exec sleep 600", **reads({"exec": {"command": ["true"]}}, initialDelaySeconds=3)),
}


@pytest.fixture(scope="module")
def probed(node: Node, api: client.ApiClient) -> Iterator[Scene]:
    scene = Scene(node, "conformance-probes", api)
    scene.core.create_namespace({"metadata": {"name": scene.namespace}})
    scene.config_map("servers", **{path.name: path.read_text() for path in SERVERS.glob("*.py")})
    volumes = [{"name": "servers", "configMap": {"name": "servers"}}]
    for name, container in CONTAINERS.items():
        scene.create(pod(name, container, volumes=volumes, restartPolicy="Always"))
    yield scene
    scene.core.delete_namespace(scene.namespace)


def restarts(seen: client.V1Pod) -> int:
    return sum(status.restart_count for status in seen.status.container_statuses or ())


def stays(scene: Scene, name: str) -> None:
    seen = scene.until(name, lambda seen: seen.status.phase == "Running" and seen.status.container_statuses)
    started = seen.status.container_statuses[0].state.running.started_at.timestamp()
    time.sleep(max(started + QUIET_S - time.time(), 0))
    assert restarts(scene.get(name)) == 0


@conforms(
    '[sig-node] Probing container should be restarted with a exec "cat /tmp/health" liveness probe [NodeConformance]'
)
def test_restarted_when_the_command_fails(probed: Scene) -> None:
    probed.until("exec-fails", lambda seen: restarts(seen) >= 1)


@conforms(
    "[sig-node] Probing container should be restarted with a /healthz http liveness probe [NodeConformance]"
)
def test_restarted_when_the_request_fails(probed: Scene) -> None:
    probed.until("http-fails", lambda seen: restarts(seen) >= 1)


@conforms("[sig-node] Probing container should be restarted with a GRPC liveness probe [NodeConformance]")
def test_restarted_when_the_service_is_not_there(probed: Scene) -> None:
    probed.until("grpc-fails", lambda seen: restarts(seen) >= 1)


@conforms(
    '[sig-node] Probing container should *not* be restarted with a exec "cat /tmp/health" liveness probe [NodeConformance]'
)
def test_not_restarted_as_long_as_the_command_succeeds(probed: Scene) -> None:
    stays(probed, "exec-stays")


@conforms(
    "[sig-node] Probing container should *not* be restarted with a tcp:8080 liveness probe [NodeConformance]"
)
def test_not_restarted_as_long_as_the_port_is_open(probed: Scene) -> None:
    stays(probed, "tcp-stays")


@conforms(
    "[sig-node] Probing container should *not* be restarted with a /healthz http liveness probe [NodeConformance]"
)
def test_not_restarted_as_long_as_the_request_succeeds(probed: Scene) -> None:
    stays(probed, "http-stays")


@conforms(
    "[sig-node] Probing container should *not* be restarted with a GRPC liveness probe [NodeConformance]"
)
def test_not_restarted_as_long_as_the_service_serves(probed: Scene) -> None:
    stays(probed, "grpc-stays")


@conforms(
    "[sig-node] Probing container with readiness probe that fails should never be ready and never restart [NodeConformance]"
)
def test_never_ready(probed: Scene) -> None:
    stays(probed, "never-ready")
    assert not is_ready(probed.get("never-ready"))


@conforms(
    "[sig-node] Probing container with readiness probe should not be ready before initial delay and never restart [NodeConformance]"
)
def test_not_ready_before_its_time(probed: Scene) -> None:
    seen = probed.until("ready-late", is_ready)
    (status,) = seen.status.container_statuses
    ready = condition(seen, "Ready").last_transition_time
    assert (ready - status.state.running.started_at).total_seconds() >= 3
    assert status.restart_count == 0
