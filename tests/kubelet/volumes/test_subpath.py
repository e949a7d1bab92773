"""No path leads out of a volume."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sampan.kubelet.volumes.contract import SubPathFault
from sampan.kubelet.volumes.subpath import is_directory, open_beneath


def opened(root: Path, path: str) -> str:
    descriptor = open_beneath(str(root), path)
    try:
        return str(Path(f"/proc/self/fd/{descriptor}").readlink())
    finally:
        os.close(descriptor)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    volume = tmp_path / "volume"
    volume.mkdir()
    (tmp_path / "outside").mkdir()
    return volume


def test_missing_directories_are_made_like_the_volume(root: Path) -> None:
    root.chmod(0o777)
    assert opened(root, "a/b//./c") == str(root / "a/b/c")
    assert (root / "a/b").stat().st_mode & 0o777 == 0o777


def test_files_and_inner_links(root: Path) -> None:
    (root / "f").touch()
    (root / "link").symlink_to("f")
    assert opened(root, "link") == str(root / "f")
    descriptor = open_beneath(str(root), "f")
    assert not is_directory(descriptor)
    os.close(descriptor)


@pytest.mark.parametrize(
    "path", ["/etc", "../outside", "a/../../outside", "up", "up/x", "absolute", "absolute/new"]
)
def test_escapes_are_refused(root: Path, path: str) -> None:
    (root / "up").symlink_to("../outside")
    (root / "absolute").symlink_to(str(root.parent / "outside"))
    with pytest.raises(SubPathFault):
        opened(root, path)
    assert list((root.parent / "outside").iterdir()) == []
