"""Static Pods on a real node: a file is a Pod, and neither the API nor the node's process decides about it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.node import Node, eventually

MANIFEST = """
apiVersion: v1
kind: Pod
metadata: {name: NAME, namespace: SPACE, labels: {app: web}}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: web
    image: busybox
    imagePullPolicy: IfNotPresent
    command: [sh, -c, "echo hello; exec sleep 3600"]
"""


@pytest.fixture
def manifest(node: Node, namespace: str) -> Iterator[Path]:
    file = node.data / "manifests" / f"{namespace}.yaml"
    try:
        yield file
    finally:
        file.unlink(missing_ok=True)


def present(node: Node, namespace: str) -> dict:
    (pod,) = node.list("pods", namespace)
    return pod


def is_gone(node: Node, namespace: str) -> bool:
    return not node.list("pods", namespace)


def container(pod: dict) -> tuple[str, int]:
    (status,) = pod["status"]["containerStatuses"]
    return status["containerID"], status["restartCount"]


def another(node: Node, namespace: str, uid: str) -> dict:
    def ready() -> dict | None:
        pod = present(node, namespace)
        new = pod["metadata"]["uid"] != uid and not pod["metadata"].get("deletionTimestamp")
        return pod if new and pod["status"].get("containerStatuses", [{}])[0].get("ready") else None

    return eventually(ready)  # type: ignore[return-value]


def test_a_static_pod_from_file_to_end(node: Node, namespace: str, manifest: Path) -> None:
    manifest.write_text(MANIFEST.replace("NAME", "web").replace("SPACE", namespace))
    eventually(lambda: not is_gone(node, namespace))
    name = present(node, namespace)["metadata"]["name"]
    assert name.startswith("web-")
    node.wait_ready(f"pod/{name}", namespace)
    first = present(node, namespace)
    assert node.kubectl("logs", name, "-n", namespace).out == "hello\n"
    assert node.sh(name, namespace, "echo $((6 * 7))") == "42\n"
    assert "Started" in node.kubectl("describe", "pod", name, "-n", namespace).out

    node.kubectl("delete", "pod", name, "-n", namespace, "--wait=false")
    second = another(node, namespace, first["metadata"]["uid"])
    assert container(second) == container(first)

    node.kill()
    node.up()
    node.wait_ready(f"pod/{name}", namespace)
    third = present(node, namespace)
    assert (container(third), third["metadata"]["uid"]) == (container(first), second["metadata"]["uid"])
    assert third["status"]["startTime"] == first["status"]["startTime"]
    assert node.sh(name, namespace, "echo still") == "still\n"

    manifest.write_text(manifest.read_text().replace("hello", "changed"))
    fourth = another(node, namespace, third["metadata"]["uid"])
    assert container(fourth)[0] != container(third)[0]
    eventually(lambda: node.kubectl("logs", name, "-n", namespace).out == "changed\n")

    manifest.unlink()
    eventually(lambda: is_gone(node, namespace))
    uid = fourth["metadata"]["annotations"]["kubernetes.io/config.hash"]
    eventually(lambda: not (node.data / "pods" / uid).exists())


def test_a_bad_manifest_is_told_on_the_node(node: Node, namespace: str, manifest: Path) -> None:
    secret = "  volumes: [{name: s, secret: {secretName: s}}]\n"
    manifest.write_text(MANIFEST.replace("NAME", "bad").replace("SPACE", namespace) + secret)
    told = "static pods may not reference secrets"
    eventually(
        lambda: told in node.kubectl("get", "events", "-A", "--field-selector=reason=InvalidManifest").out
    )
    assert is_gone(node, namespace)
