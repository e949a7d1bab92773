"""Images as Pods meet them: private ones, digests, and a pull that is killed."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.node import Node, eventually
from harness.registry import PASSWORD, USER, push, serve
from mirror import Mirror

APP = "private.test/team/app:1"
BIG_BYTES = 40 << 20


class PrivateNode(Node):
    registry = ""


@pytest.fixture(scope="module")
def private(mirror: Mirror, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateNode]:
    """A cluster with images of its own, and with a registry that wants a password."""
    base = tmp_path_factory.mktemp("private")
    with serve(base / "registry", private=True) as address:
        source = mirror.url.removeprefix("http://")
        command = ["skopeo", "copy", "-q", "--src-tls-verify=false", "--dest-tls-verify=false"]
        command += ["--dest-creds", f"{USER}:{PASSWORD}", f"docker://{source}/library/busybox:latest"]
        subprocess.run([*command, f"docker://{address}/team/app:1"], check=True)
        node = PrivateNode(base, f"img-{os.getpid()}", mirror.url)
        node.up("--registry-mirror", f"private.test=http://{address}", "--image-root", str(base / "images"))
        node.registry = address
        try:
            yield node
        finally:
            node.down()


@pytest.fixture
def namespace(private: Node, request: pytest.FixtureRequest) -> str:
    name = request.node.name.removeprefix("test_").replace("_", "-")[:40].strip("-")
    private.kubectl("create", "namespace", name)
    return name


def pod(name: str, image: str, policy: str = "IfNotPresent", **spec: object) -> str:
    container = {
        "name": "main",
        "image": image,
        "imagePullPolicy": policy,
        "command": ["sleep", "1000"],
    }
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name},
            "spec": {"containers": [container], "terminationGracePeriodSeconds": 0, **spec},
        }
    )


def add_secret(node: Node, namespace: str) -> None:
    auth = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "key"},
        "type": "kubernetes.io/dockerconfigjson",
        "stringData": {".dockerconfigjson": json.dumps({"auths": {"private.test/team": {"auth": auth}}})},
    }
    node.apply(json.dumps(secret), namespace)


def waiting(node: Node, name: str, namespace: str) -> str:
    statuses = node.get("pod", name, namespace)["status"].get("containerStatuses") or [{}]
    return str(statuses[0].get("state", {}).get("waiting", {}).get("reason", ""))


def said(node: Node, name: str, namespace: str) -> str:
    return "\n".join(event["message"] for event in node.events(name, namespace))


def test_a_private_image(private: Node, namespace: str) -> None:
    account = {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": "puller"},
        "imagePullSecrets": [{"name": "key"}],
    }
    private.apply(pod("without", APP), namespace)
    eventually(lambda: waiting(private, "without", namespace) in ("ErrImagePull", "ImagePullBackOff"))
    assert "pull access denied" in said(private, "without", namespace)
    add_secret(private, namespace)
    private.apply(json.dumps(account), namespace)
    private.apply(pod("with", APP, imagePullSecrets=[{"name": "key"}]), namespace)
    private.apply(pod("account", APP, serviceAccountName="puller"), namespace)
    for name in ("with", "account"):
        private.wait_ready(f"pod/{name}", namespace)
    # The image is on the node now; that opens it to nobody else.
    private.apply(pod("late", APP), namespace)
    eventually(lambda: waiting(private, "late", namespace) in ("ErrImagePull", "ImagePullBackOff"))
    private.apply(pod("never", APP, "Never"), namespace)
    eventually(lambda: waiting(private, "never", namespace) == "ErrImageNeverPull")
    kept = [path.read_bytes() for path in (private.work / "images").glob("*.json")]
    assert not any(PASSWORD.encode() in data for data in kept)


def test_digests_are_kept_to(private: Node, namespace: str) -> None:
    private.apply(pod("tag", "busybox", "Always"), namespace)
    private.wait_ready("pod/tag", namespace)
    (status,) = private.get("pod", "tag", namespace)["status"]["containerStatuses"]
    name, _, digest = status["imageID"].rpartition("@")
    assert name.endswith("library/busybox")
    private.apply(pod("digest", f"busybox@{digest}"), namespace)
    private.apply(pod("both", f"busybox:any@{digest}"), namespace)
    for other in ("digest", "both"):
        private.wait_ready(f"pod/{other}", namespace)
    private.apply(pod("other", f"busybox@sha256:{'0' * 64}"), namespace)
    eventually(lambda: waiting(private, "other", namespace) in ("ErrImagePull", "ImagePullBackOff"))
    assert "not found" in said(private, "other", namespace)
    eventually(lambda: digest in json.dumps(private.get("node", private.name, "")["status"]["images"]))


def test_a_killed_pull_is_made_again(private: PrivateNode, namespace: str, tmp_path: Path) -> None:
    rootfs = tmp_path / "rootfs"
    rootfs.mkdir()
    shutil.copy("/bin/busybox", rootfs / "sleep")
    (rootfs / "noise").write_bytes(os.urandom(BIG_BYTES))
    archive = tmp_path / "big.tar"
    subprocess.run(["tar", "-C", rootfs, "-cf", archive, "."], check=True)
    layout = tmp_path / "layout"
    _layout(layout, archive.read_bytes())
    push(layout, private.registry, "team/big:1", private=True)
    add_secret(private, namespace)
    spec = pod("big", "private.test/team/big:1", imagePullSecrets=[{"name": "key"}])
    private.apply(spec.replace('"sleep"', '"/sleep"'), namespace)
    eventually(lambda: "Pulling" in said(private, "big", namespace), every_s=0.02)
    private.kill()
    private.up()
    private.wait_ready("pod/big", namespace)
    assert list((private.work / "images/tmp").iterdir()) == []


def _layout(directory: Path, layer: bytes) -> None:
    """An OCI layout with one image of one uncompressed layer."""
    blobs = directory / "blobs/sha256"
    blobs.mkdir(parents=True)

    def put(data: bytes, media: str) -> dict[str, object]:
        digest = hashlib.sha256(data).hexdigest()
        (blobs / digest).write_bytes(data)
        return {
            "mediaType": f"application/vnd.oci.image.{media}",
            "digest": f"sha256:{digest}",
            "size": len(data),
        }

    described = put(layer, "layer.v1.tar")
    config = {
        "architecture": "amd64" if os.uname().machine == "x86_64" else "arm64",
        "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": [described["digest"]]},
    }
    manifest = {
        "schemaVersion": 2,
        "config": put(json.dumps(config).encode(), "config.v1+json"),
        "layers": [described],
    }
    index = {"schemaVersion": 2, "manifests": [put(json.dumps(manifest).encode(), "manifest.v1+json")]}
    (directory / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    (directory / "index.json").write_text(json.dumps(index))
