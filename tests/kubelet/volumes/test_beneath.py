"""The walk done where the kernel has no openat2 finds what the kernel would; races are in test_subpath."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sampan.kubelet.volumes import beneath

PATHS = [
    "",
    ".",
    "d",
    "d/f",
    "d/../d/f",
    "l",
    "l/f",
    "out",
    "out/x",
    "abs",
    "loop",
    "d/f/x",
    "none",
    "d/back",
    "dd",
]


@pytest.fixture
def root(tmp_path: Path) -> Iterator[int]:
    base = tmp_path / "root"
    (base / "d").mkdir(parents=True)
    (base / "d" / "f").touch()
    (base / "d" / "back").symlink_to("../l/f")
    (base / "l").symlink_to("d")
    (base / "dd").symlink_to("d/../d/../l")
    (base / "out").symlink_to("../")
    (base / "abs").symlink_to("/etc")
    (base / "loop").symlink_to("loop")
    descriptor = os.open(base, os.O_PATH)
    yield descriptor
    os.close(descriptor)


def outcome(way: Callable[[int, str], int], root: int, path: str) -> tuple[int, int]:
    """(inode, errno)"""
    try:
        found = way(root, path)
    except OSError as error:
        return 0, error.errno or 0
    try:
        return os.fstat(found).st_ino, 0
    finally:
        os.close(found)


@pytest.mark.parametrize("path", PATHS)
def test_both_ways_agree(root: int, path: str) -> None:
    assert outcome(beneath.walk, root, path) == outcome(beneath.open_beneath, root, path)


def test_nothing_stays_open(root: int) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    for path in PATHS:
        outcome(beneath.walk, root, path)
        outcome(beneath.open_beneath, root, path)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_a_path_that_never_holds_still(root: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def restless(*_: object) -> int:
        raise OSError(errno.EAGAIN, "try again")

    monkeypatch.setattr(beneath.libc, "openat2", restless)
    with pytest.raises(OSError, match="the path changes while it is opened"):
        beneath.open_beneath(root, "d")
