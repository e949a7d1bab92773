"""Every form in which registries have images: indexes, manifests of Docker, zstd, layers elsewhere."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from harness.registry import serve
from sampan.kubelet.images.contract import ImageFault
from sampan.kubelet.images.store import ImageStore

pytestmark = pytest.mark.root

INDEX = "application/vnd.oci.image.index.v1+json"


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serve(tmp_path_factory.mktemp("registry")) as address:
        yield address


@pytest.fixture
async def store(tmp_path: Path, registry: str) -> ImageStore:
    found = ImageStore(tmp_path / "store", {"docker.io": f"http://{registry}"})
    await found.open()
    return found


def push(layout: Path, registry: str, name: str, *options: str) -> None:
    command = ["skopeo", "copy", "-q", "--dest-tls-verify=false", *options, f"oci:{layout}"]
    subprocess.run([*command, f"docker://{registry}/library/{name}"], check=True, capture_output=True)


def put(layout: Path, document: Mapping[str, Any]) -> dict[str, Any]:
    """Adds a document to a layout's blobs; its descriptor."""
    data = json.dumps(document).encode()
    digest = hashlib.sha256(data).hexdigest()
    (layout / "blobs/sha256" / digest).write_bytes(data)
    return {"mediaType": document["mediaType"], "digest": f"sha256:{digest}", "size": len(data)}


def indexed(layout: Path, busybox: ModuleType, *architectures: str) -> None:
    """An index with an image for each; the file `arch` tells which it is."""
    entries = []
    for architecture in architectures:
        busybox.layout(layout, [busybox.layer({"arch": architecture.encode()})], Labels={"is": architecture})
        (entry,) = json.loads((layout / "index.json").read_text())["manifests"]
        entries.append({**entry, "platform": {"os": "linux", "architecture": architecture}})
    entry = put(layout, {"schemaVersion": 2, "mediaType": INDEX, "manifests": entries})
    (layout / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))


async def test_an_index_gives_the_own_architecture(
    tmp_path: Path, busybox: ModuleType, registry: str, store: ImageStore
) -> None:
    indexed(tmp_path / "i", busybox, "s390x", "arm64", "amd64")
    push(tmp_path / "i", registry, "several:1", "--all")
    image = await store.pull("several:1")
    own = os.uname().machine
    assert Path(image.lower_dirs[0], "arch").read_text() == {"x86_64": "amd64", "aarch64": "arm64"}[own]
    # The digest is the index's, so that it is the same on every machine.
    (entry,) = json.loads((tmp_path / "i/index.json").read_text())["manifests"]
    assert image.digest == entry["digest"]
    assert (await store.pull(f"several@{image.digest}")).id == image.id


async def test_an_index_without_the_own_architecture_says_so(
    tmp_path: Path, busybox: ModuleType, registry: str, store: ImageStore
) -> None:
    indexed(tmp_path / "i", busybox, "s390x", "mips64le")
    push(tmp_path / "i", registry, "strange:1", "--all")
    with pytest.raises(ImageFault, match="no match for platform in manifest"):
        await store.pull("strange:1")


async def test_dockers_own_manifests(
    tmp_path: Path, busybox: ModuleType, registry: str, store: ImageStore
) -> None:
    busybox.layout(tmp_path / "d", [busybox.layer({"etc": None, "etc/x": b"1"})], Cmd=["sh"])
    push(tmp_path / "d", registry, "docker:2", "--format", "v2s2")
    image = await store.pull("docker:2")
    assert image.cmd == ("sh",)
    assert Path(image.lower_dirs[0], "etc/x").read_bytes() == b"1"


async def test_zstd_and_plain_layers(
    tmp_path: Path, busybox: ModuleType, registry: str, store: ImageStore
) -> None:
    if shutil.which("zstd") is None:
        pytest.skip("needs zstd")
    for compressor, options in (("zstd", ["--dest-compress-format", "zstd"]), ("plain", [])):
        layer = busybox.layer({compressor: compressor.encode() * 1000})
        busybox.layout(tmp_path / compressor, [layer], compress=False)
        push(tmp_path / compressor, registry, f"{compressor}:1", *options)
        image = await store.pull(f"{compressor}:1")
        assert Path(image.lower_dirs[0], compressor).read_text() == compressor * 1000
    magic = {path.read_bytes()[:4] for path in (store.root / "blobs/sha256").iterdir()}
    assert b"\x28\xb5\x2f\xfd" in magic


async def test_a_layer_that_is_elsewhere_is_named(
    tmp_path: Path, busybox: ModuleType, registry: str, store: ImageStore
) -> None:
    layout = tmp_path / "f"
    busybox.layout(layout, [busybox.layer({"x": b"1"})])
    (entry,) = json.loads((layout / "index.json").read_text())["manifests"]
    manifest = json.loads((layout / "blobs" / entry["digest"].replace(":", "/")).read_bytes())
    (layer,) = manifest["layers"]
    (layout / "blobs" / layer["digest"].replace(":", "/")).unlink()
    layer["mediaType"] = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"
    layer["urls"] = ["http://127.0.0.1:1/layer"]
    (layout / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [put(layout, manifest)]}))
    with pytest.raises(ImageFault, match="is foreign"):
        await store.load(str(layout), "foreign:1")


@pytest.mark.parametrize("wrong", ["manifest", "config"])
async def test_no_document_is_believed_that_has_another_digest(
    tmp_path: Path, busybox: ModuleType, store: ImageStore, wrong: str
) -> None:
    layout = tmp_path / "w"
    busybox.layout(layout, [busybox.layer({"x": b"1"})])
    (entry,) = json.loads((layout / "index.json").read_text())["manifests"]
    path = layout / "blobs" / entry["digest"].replace(":", "/")
    if wrong == "config":
        config = json.loads(path.read_bytes())["config"]
        path = layout / "blobs" / config["digest"].replace(":", "/")
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(ImageFault, match="its content has another digest"):
        await store.load(str(layout), "wrong:1")
    assert store.listing() == []
