from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from sampan.kubelet.images.layout import Blobs, Descriptor, LayoutFault, index, manifest


def put(blobs: Path, document: Any) -> dict[str, Any]:
    import hashlib

    data = json.dumps(document).encode()
    digest = hashlib.sha256(data).hexdigest()
    (blobs / "sha256" / digest).write_bytes(data)
    return {"digest": f"sha256:{digest}", "size": len(data)}


def test_the_own_architecture_is_chosen(tmp_path: Path, busybox: ModuleType, monkeypatch: Any) -> None:
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    digest = busybox.layout(tmp_path, [busybox.layer({"a": b""})])
    choices = [
        {"digest": "sha256:" + "0" * 64, "platform": {"os": "linux", "architecture": "amd64"}},
        {"digest": digest, "platform": {"os": "linux", "architecture": "arm64"}},
    ]
    kind = "application/vnd.oci.image.index.v1+json"
    several = put(tmp_path / "blobs", {"mediaType": kind, "manifests": choices})
    blobs = Blobs(tmp_path / "blobs")
    found = manifest(blobs, Descriptor(several["digest"], 0, kind, {}, {}))
    assert found.digest == digest
    assert (len(found.layers), len(found.diff_ids)) == (1, 1)
    monkeypatch.setattr("platform.machine", lambda: "s390x")
    with pytest.raises(LayoutFault, match="no image for linux/s390x, only for linux/amd64, linux/arm64"):
        manifest(blobs, Descriptor(several["digest"], 0, kind, {}, {}))


def test_what_is_no_layout_says_so(tmp_path: Path) -> None:
    with pytest.raises(LayoutFault, match=r"it has no index\.json"):
        index(tmp_path)
    for text, why in (("[]", "not a JSON object"), ("{", "not JSON"), ('{"manifests": [{}]}', "malformed")):
        (tmp_path / "index.json").write_text(text)
        with pytest.raises(LayoutFault, match=why):
            index(tmp_path)


@pytest.mark.parametrize("digest", ["md5:00", "sha256:../../etc/passwd", "nonsense", "sha256:"])
def test_digests_are_no_paths(tmp_path: Path, digest: str) -> None:
    with pytest.raises(LayoutFault, match="unsupported digest"):
        Blobs(tmp_path).path(digest)
