from __future__ import annotations

import os
from pathlib import Path

import pytest

from sampan.kubelet.runtime import idmap, libc, mounts
from sampan.kubelet.runtime.userns import made

pytestmark = pytest.mark.root


def test_owners_are_seen_through_the_namespace(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    os.chown(tmp_path / "file", 5, 6)
    with made((), 1_000_000) as files, idmap.trees([str(tmp_path)], str(files / "user")) as (path,):
        seen = Path(path, "file").stat()
        assert (seen.st_uid, seen.st_gid) == (1_000_005, 1_000_006)
        with pytest.raises(OSError):
            Path(path, "new").touch()  # by somebody who is nobody there
    assert (tmp_path / "file").stat().st_uid == 5


def test_a_mount_of_it(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.touch()
    target.touch()
    with made((), 1_000_000) as files:
        idmap.bind(str(source), str(target), str(files / "user"))
    try:
        assert target.stat().st_uid == 1_000_000
    finally:
        mounts.detach(target)


def test_the_layers_of_an_image_in_place_of_their_overlay(tmp_path: Path) -> None:
    a, b, image, target = (tmp_path / name for name in ("a", "b", "image", "target"))
    for directory in (a, b, image, target):
        directory.mkdir()
    (a / "one").touch()
    (b / "two").touch()
    libc.mount("overlay", str(image), "overlay", libc.MS_RDONLY, f"lowerdir={a}:{b}")
    try:
        assert idmap.read_only_layers(str(image)) == [str(a), str(b)]
        assert idmap.read_only_layers(str(tmp_path)) == []
        with made((), 1_000_000) as files:
            idmap.bind(str(image), str(target), str(files / "user"))
        assert {(path.name, path.stat().st_uid) for path in target.iterdir()} == {
            ("one", 1_000_000),
            ("two", 1_000_000),
        }
    finally:
        mounts.detach(target)
        mounts.detach(image)


def test_a_file_system_that_cannot_is_named() -> None:
    with (
        made((), 1_000_000) as files,
        pytest.raises(OSError, match="its IDs cannot be mapped to the Pod's") as caught,
        idmap.tree("/proc/sys", str(files / "user")),
    ):
        raise AssertionError("unreachable")
    assert caught.value.filename == "/proc/sys"
