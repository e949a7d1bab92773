from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from sampan.kubelet.images import archive
from sampan.kubelet.images.layout import FULL_NAME, REF_NAME, Descriptor


def written(path: Path, *names: str, kind: bytes = tarfile.REGTYPE) -> Path:
    with tarfile.open(path, "w") as tar:
        for name in names:
            info = tarfile.TarInfo(name)
            info.size, info.type, info.linkname = 1 if kind == tarfile.REGTYPE else 0, kind, "/etc/passwd"
            tar.addfile(info, io.BytesIO(b"x"))
    return path


def test_only_the_layout_is_taken_out(tmp_path: Path) -> None:
    source = written(
        tmp_path / "a.tar",
        *("./index.json", "oci-layout", "blobs/sha256/ab", "blobs/../../evil", "../evil", "blobs/x", "/evil"),
    )
    assert archive.extract(source, tmp_path / "out" / "in")
    found = sorted(str(p.relative_to(tmp_path / "out")) for p in (tmp_path / "out").rglob("*") if p.is_file())
    assert found == ["in/blobs/sha256/ab", "in/index.json"]


def test_links_are_not_taken(tmp_path: Path) -> None:
    source = written(tmp_path / "a.tar", "index.json", "blobs/sha256/ab", kind=tarfile.SYMTYPE)
    archive.extract(source, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_dockers_archives_are_left_to_skopeo(tmp_path: Path) -> None:
    assert not archive.extract(written(tmp_path / "a.tar", "manifest.json", "x.tar"), tmp_path / "out")


@pytest.mark.parametrize(
    ("annotations", "name"),
    [
        ({FULL_NAME: "quay.io/a/b:1", REF_NAME: "1"}, "quay.io/a/b:1"),
        ({REF_NAME: "1"}, "docker.io/library/web:1"),
        ({REF_NAME: "quay.io/a/b:2"}, "quay.io/a/b:2"),
        ({}, "docker.io/library/web:latest"),
    ],
)
def test_an_image_is_named_by_its_layout_or_its_file(annotations: dict[str, str], name: str) -> None:
    assert archive.name_of(Descriptor("sha256:0", 0, "", annotations, {}), "Web.tar.gz") == name
