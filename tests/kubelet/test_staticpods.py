"""From a manifest to the Pod that is run."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sampan.api.objects import Obj
from sampan.kubelet.qos import is_static
from sampan.kubelet.staticpods import ManifestFault, behind, mirror_of, mirrored, read

SEEN = "2026-01-01T00:00:00Z"


def manifest(name: str = "web", metadata: dict[str, Any] | None = None, **spec: Any) -> bytes:
    containers = [{"name": "web", "image": "nginx"}]
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, **(metadata or {})},
        "spec": {"containers": containers, **spec},
    }
    return json.dumps(pod).encode()


def pod_of(data: bytes, file: str = "/m/web.json", node: str = "node-1") -> Obj:
    return read(data, file, node, SEEN)


def test_name_place_and_origin() -> None:
    pod = pod_of(manifest(metadata={"annotations": {"a": "b", "kubernetes.io/config.mirror": "x"}}))
    metadata = pod["metadata"]
    assert (metadata["name"], metadata["namespace"]) == ("web-node-1", "default")
    assert pod["spec"]["nodeName"] == "node-1"
    assert metadata["annotations"] == {
        "a": "b",
        "kubernetes.io/config.source": "file",
        "kubernetes.io/config.hash": metadata["uid"],
        "kubernetes.io/config.seen": SEEN,
    }
    assert {"operator": "Exists", "effect": "NoExecute"} in pod["spec"]["tolerations"]
    assert pod["spec"]["restartPolicy"] == "Always"
    assert "status" not in pod
    assert is_static(pod) and not is_static({**pod, "metadata": {**metadata, "resourceVersion": "1"}})


def test_uid_is_of_content_file_and_node() -> None:
    first = pod_of(manifest())["metadata"]["uid"]
    assert first == pod_of(b"  " + manifest())["metadata"]["uid"]
    others = [
        pod_of(manifest(hostNetwork=True)),
        pod_of(manifest(), file="/m/other.json"),
        pod_of(manifest(), node="node-2"),
    ]
    assert len({first, *(pod["metadata"]["uid"] for pod in others)}) == 4


def test_given_uid_is_not_taken() -> None:
    """It is the name of a directory."""
    assert "/" not in pod_of(manifest(metadata={"uid": "../../etc"}))["metadata"]["uid"]


@pytest.mark.parametrize(
    ("data", "reason", "words"),
    [
        (b"kind: [", "FailedToReadManifest", "yaml"),
        (b"\x00\xff", "FailedToReadManifest", ""),
        (b'{"kind": "Service", "apiVersion": "v1"}', "FailedToReadManifest", "Pod"),
        (b"- 1", "FailedToReadManifest", ""),
        (b"{}", "InvalidManifest", "spec.containers: Required value"),
        (manifest(name=""), "InvalidManifest", "metadata.name: Required value"),
        (manifest(name="A b"), "InvalidManifest", "metadata.name: Invalid value"),
        (manifest(metadata={"namespace": "../x"}), "InvalidManifest", "metadata.namespace: Invalid value"),
        (manifest(containers=[]), "InvalidManifest", "spec.containers: Required value"),
        (manifest(serviceAccountName="x"), "InvalidManifest", "may not reference serviceaccounts"),
        (manifest(containers=3), "FailedToReadManifest", "containers"),
    ],
)
def test_what_is_wrong_is_said(data: bytes, reason: str, words: str) -> None:
    with pytest.raises(ManifestFault) as caught:
        pod_of(data)
    assert caught.value.reason == reason
    assert words in caught.value.message


def test_mirror_stands_for_it() -> None:
    pod = pod_of(manifest(metadata={"labels": {"app": "web"}}))
    mirror = mirror_of(pod, {"metadata": {"name": "node-1", "uid": "u"}})
    assert mirrored(mirror) == pod["metadata"]["uid"] and not mirrored(pod)
    assert "uid" not in mirror["metadata"] and mirror["spec"] == pod["spec"]
    assert mirror["metadata"]["labels"] == {"app": "web"}
    assert behind(mirror)["metadata"]["uid"] == pod["metadata"]["uid"]
    assert behind(pod) is pod
