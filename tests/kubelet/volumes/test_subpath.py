"""No path leads out of a volume, whoever changes it meanwhile.

The ways out that were once found elsewhere: CVE-2017-1002101 (a link in the volume), CVE-2021-25741 (a
directory exchanged for a link between check and mount). CVE-2017-1002102 (deletion through a link) is in
test_removal.
"""

from __future__ import annotations

import ctypes
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sampan.kubelet.volumes import beneath
from sampan.kubelet.volumes.contract import SubPathFault
from sampan.kubelet.volumes.subpath import is_directory, open_sub_path, sub_path

RENAME_EXCHANGE = 2
RACE_S = 0.3
AT_FDCWD = -100
_libc = ctypes.CDLL(None, use_errno=True)


def opened(root: Path, path: str, *, make: bool = True) -> str:
    descriptor = open_sub_path(str(root), path, make=make)
    try:
        return str(Path(f"/proc/self/fd/{descriptor}").readlink())
    finally:
        os.close(descriptor)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    volume = tmp_path / "volume"
    volume.mkdir()
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret").write_text("secret")
    return volume


@pytest.fixture(params=["openat2", "walk"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """By the kernel, and as it is done where the kernel cannot."""
    if request.param == "walk":

        def missing(*_: object) -> int:
            raise OSError(38, "Function not implemented")

        monkeypatch.setattr(beneath.libc, "openat2", missing)
    return str(request.param)


@contextmanager
def exchanging(one: Path, other: Path) -> Iterator[Callable[[], int]]:
    """Swaps two names as fast as it goes; gives how often."""
    stop, count = threading.Event(), 0

    def swap() -> None:
        nonlocal count
        names = os.fsencode(one), os.fsencode(other)
        while not stop.is_set():
            _libc.renameat2(AT_FDCWD, names[0], AT_FDCWD, names[1], RENAME_EXCHANGE)
            count += 1

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        yield lambda: count
    finally:
        stop.set()
        thread.join()


@pytest.mark.usefixtures("way")
def test_missing_directories_are_made_like_the_volume(root: Path) -> None:
    root.chmod(0o2777)
    assert opened(root, "a/b//./c") == str(root / "a/b/c")
    assert (root / "a/b").stat().st_mode & 0o7777 == 0o2777


def test_nothing_is_made_where_nothing_may_be(root: Path) -> None:
    with pytest.raises(SubPathFault, match='failed to prepare subPath "a": no such file or directory'):
        opened(root, "a", make=False)
    assert list(root.iterdir()) == []


@pytest.mark.usefixtures("way")
def test_files_and_links_inside(root: Path) -> None:
    (root / "f").touch()
    (root / "link").symlink_to("f")
    (root / "d").mkdir()
    (root / "d" / "up").symlink_to("../f")
    assert opened(root, "link") == opened(root, "d/up") == str(root / "f")
    descriptor = open_sub_path(str(root), "f")
    assert not is_directory(descriptor)
    os.close(descriptor)


@pytest.mark.usefixtures("way")
def test_through_the_links_of_an_atomic_volume(root: Path) -> None:
    (root / "..2026_01_01").mkdir()
    (root / "..2026_01_01" / "key").write_text("value")
    (root / "..data").symlink_to("..2026_01_01")
    (root / "key").symlink_to("..data/key")
    assert opened(root, "key") == str(root / "..2026_01_01" / "key")


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize(
    "path",
    [
        "/etc",
        "../outside",
        "a/../../outside",
        "up",
        "up/x",
        "absolute",
        "absolute/new",
        "chain",
        "proc",
        "d/far",
    ],
)
def test_escapes_are_refused(root: Path, path: str) -> None:
    """CVE-2017-1002101."""
    (root / "up").symlink_to("../outside")
    (root / "absolute").symlink_to(str(root.parent / "outside"))
    (root / "chain").symlink_to("chain2")
    (root / "chain2").symlink_to("up/secret")
    (root / "proc").symlink_to("/proc/self/root")
    (root / "d").mkdir()
    (root / "d" / "far").symlink_to("../../outside/secret")
    with pytest.raises(SubPathFault):
        opened(root, path)
    assert [entry.name for entry in (root.parent / "outside").iterdir()] == ["secret"]


@pytest.mark.usefixtures("way")
def test_links_that_go_round_end(root: Path) -> None:
    (root / "a").symlink_to("b")
    (root / "b").symlink_to("a")
    with pytest.raises(SubPathFault, match="too many levels of symbolic links"):
        opened(root, "a")


@pytest.mark.usefixtures("way")
def test_a_directory_exchanged_for_a_link_is_never_followed(root: Path) -> None:
    """CVE-2021-25741: what is opened lies in the volume or is refused, thousands of times."""
    (root / "d" / "sub").mkdir(parents=True)
    (root.parent / "outside" / "sub").mkdir()
    (root / "link").symlink_to("../outside")
    found, refused = 0, 0
    with exchanging(root / "d", root / "link") as count:
        until = time.monotonic() + RACE_S
        while time.monotonic() < until or count() < 100:
            try:
                descriptor = open_sub_path(str(root), "d/sub", make=False)
            except SubPathFault:
                refused += 1
                continue
            inside = os.fstat(descriptor).st_ino
            os.close(descriptor)
            assert inside != (root.parent / "outside" / "sub").stat().st_ino
            found += 1
    assert found + refused > 100


@pytest.mark.usefixtures("way")
def test_nothing_is_made_or_changed_through_an_exchanged_link(root: Path) -> None:
    """Directories are made, and given the volume's mode, while their names become links out of it."""
    outside = root.parent / "outside"
    outside.chmod(0o711)
    root.chmod(0o777)
    (root / "new").mkdir()
    (root / "link").symlink_to("../outside")
    with exchanging(root / "new", root / "link") as count:
        until = time.monotonic() + RACE_S
        number = 0
        while time.monotonic() < until or count() < 100:
            number += 1
            try:
                os.close(open_sub_path(str(root), f"new/x{number}/y"))
            except SubPathFault:
                continue
    assert [entry.name for entry in outside.iterdir()] == ["secret"]
    assert outside.stat().st_mode & 0o777 == 0o711


def test_the_mode_of_a_made_directory_is_set_by_its_descriptor(root: Path) -> None:
    """A link put in place of the directory that was made just now leads nobody's chmod astray."""
    outside = root.parent / "outside"
    outside.chmod(0o711)
    root.chmod(0o777)
    stop = threading.Event()

    def exchange() -> None:
        while not stop.is_set():
            try:
                (root / "a").rmdir()
                (root / "a").symlink_to("../outside")
                (root / "a").unlink()
            except OSError:
                continue

    thread = threading.Thread(target=exchange)
    thread.start()
    until = time.monotonic() + RACE_S
    while time.monotonic() < until:
        try:
            os.close(open_sub_path(str(root), "a"))
        except SubPathFault:
            continue
    stop.set()
    thread.join()
    assert outside.stat().st_mode & 0o777 == 0o711


@pytest.mark.parametrize(
    ("mount", "env", "path"),
    [
        ({}, {}, ""),
        ({"subPath": "a/b"}, {}, "a/b"),
        ({"subPath": "$(A)"}, {"A": "x"}, "$(A)"),
        ({"subPathExpr": "$(A)/$(B)"}, {"A": "x", "B": "y"}, "x/y"),
        ({"subPathExpr": "$$(A)"}, {"A": "x"}, "$(A)"),
    ],
)
def test_paths(mount: dict[str, str], env: dict[str, str], path: str) -> None:
    assert sub_path(mount, env) == path


@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        ("..", "unable to provision SubPath `..`: must not contain '..'"),
        ("a/../b", "unable to provision SubPath `a/../b`: must not contain '..'"),
        ("/tmp", "error SubPath `/tmp` must not be an absolute path"),
        ("`date`", "unable to provision SubPath ``date``: it has a backtick"),
        ("", "missing value for A"),
    ],
)
def test_expressions_that_are_no_path(value: str, complaint: str) -> None:
    with pytest.raises(SubPathFault) as caught:
        sub_path({"subPathExpr": "$(A)"}, {"A": value})
    assert str(caught.value) == complaint


def test_variables_that_are_not_set() -> None:
    with pytest.raises(SubPathFault, match="missing value for NONE, NOTHING"):
        sub_path({"subPathExpr": "$(NOTHING)/$(NONE)"}, {})
