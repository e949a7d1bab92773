"""A claimed volume becomes the fsGroup's: once or each time, links left alone, nothing outside touched."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sampan.api.objects import Obj
from sampan.kubelet.volumes import ownership
from sampan.kubelet.volumes.contract import Volume

GID = 4321
pytestmark = pytest.mark.root


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "outside").write_text("")
    (tmp_path / "outside").chmod(0o600)
    root = tmp_path / "volume"
    (root / "d" / "e").mkdir(parents=True)
    (root / "d" / "e").chmod(0o700)
    (root / "d" / "f").write_text("x")
    (root / "d" / "f").chmod(0o600)
    (root / "d" / "link").symlink_to("../../outside")
    os.mkfifo(root / "fifo")
    return root


def claimed(root: Path, policy: str = "", gid: int | None = GID) -> None:
    context: Obj = {"fsGroup": gid} | ({"fsGroupChangePolicy": policy} if policy else {})
    ownership.claim(Volume({"spec": {"securityContext": context}}, {"name": "v"}, root), root)


def shape(path: Path) -> tuple[int, int]:
    found = path.lstat()
    return found.st_gid, found.st_mode & 0o7777


def test_everything_below(tree: Path) -> None:
    claimed(tree)
    assert shape(tree) == (GID, 0o2775)
    assert shape(tree / "d" / "e") == (GID, 0o2770)
    assert shape(tree / "d" / "f") == (GID, 0o660)
    assert shape(tree / "d" / "link")[0] == GID
    assert shape(tree / "fifo")[0] == GID
    assert shape(tree.parent / "outside") == (0, 0o600)


@pytest.mark.parametrize(("policy", "again"), [("", True), ("Always", True), ("OnRootMismatch", False)])
def test_a_second_time(tree: Path, policy: str, again: bool) -> None:
    claimed(tree, policy)
    (tree / "d" / "f").chmod(0o600)
    claimed(tree, policy)
    assert shape(tree / "d" / "f")[1] == (0o660 if again else 0o600)


@pytest.mark.parametrize("spoil", [lambda root: root.chmod(0o2705), lambda root: os.chown(root, 0, 1)])
def test_a_root_that_does_not_match(tree: Path, spoil: object) -> None:
    claimed(tree, "OnRootMismatch")
    (tree / "d" / "f").chmod(0o600)
    assert callable(spoil)
    spoil(tree)
    claimed(tree, "OnRootMismatch")
    assert shape(tree / "d" / "f") == (GID, 0o660)


def test_no_group_no_change(tree: Path) -> None:
    before = shape(tree / "d" / "f")
    claimed(tree, gid=None)
    assert shape(tree / "d" / "f") == before


def test_a_root_that_is_a_link_is_refused(tree: Path) -> None:
    (tree.parent / "link").symlink_to(tree)
    with pytest.raises(OSError):
        claimed(tree.parent / "link")


def test_a_tree_that_is_too_deep_is_refused(tree: Path) -> None:
    deep = tree.joinpath(*("d" for _ in range(ownership.DEEPEST + 5)))
    deep.mkdir(parents=True)
    with pytest.raises(OSError, match="nested"):
        claimed(tree)
