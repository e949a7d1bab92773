"""What a container left is deleted; what is not the Pod's never is (CVE-2017-1002102)."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from sampan.kubelet.runtime import libc, mounts
from sampan.kubelet.volumes import removal
from sampan.kubelet.volumes.removal import remove


@pytest.fixture
def precious(tmp_path: Path) -> Path:
    """The node's own."""
    directory = tmp_path / "precious"
    directory.mkdir()
    (directory / "file").write_text("kept")
    return directory


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[Path]:
    directory = tmp_path / "volumes.d"
    (directory / "v" / "sub").mkdir(parents=True)
    (directory / "v" / "sub" / "f").write_text("x")
    yield directory
    mounts.detach_below(directory)


@pytest.fixture(params=["openat2", "fdinfo"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "fdinfo":

        def missing(*_: object) -> int:
            raise OSError(errno.ENOSYS, "Function not implemented")

        monkeypatch.setattr(removal.libc, "openat2", missing)


@pytest.mark.usefixtures("way")
def test_everything_goes_and_links_are_not_followed(tree: Path, precious: Path) -> None:
    (tree / "v" / "dir-link").symlink_to(precious)
    (tree / "v" / "file-link").symlink_to(precious / "file")
    os.mkfifo(tree / "v" / "fifo")
    remove(tree)
    assert not tree.exists()
    assert (precious / "file").read_text() == "kept"
    remove(tree)


@pytest.mark.usefixtures("way")
def test_a_root_that_is_a_link_is_not_entered(tmp_path: Path, precious: Path) -> None:
    (tmp_path / "link").symlink_to(precious)
    with pytest.raises(OSError):
        remove(tmp_path / "link")
    assert (precious / "file").read_text() == "kept"


@pytest.mark.root
@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("where", ["v/mounted", "mounted"])
def test_what_is_still_mounted_is_not_entered(tree: Path, precious: Path, where: str) -> None:
    """Also of the same disk: as a hostPath or a claim's volume is."""
    target = tree / where
    target.mkdir()
    libc.mount(str(precious), str(target), flags=libc.MS_BIND)
    with pytest.raises(OSError) as caught:
        remove(tree)
    assert caught.value.errno == errno.EXDEV
    assert (precious / "file").read_text() == "kept"
    mounts.detach_below(tree)
    remove(tree)
    assert not tree.exists()
    assert (precious / "file").read_text() == "kept"


@pytest.mark.root
def test_a_root_on_which_something_is_mounted_stays(tree: Path, precious: Path) -> None:
    libc.mount(str(precious), str(tree), flags=libc.MS_BIND)
    with pytest.raises(OSError):
        remove(tree)
    assert (precious / "file").read_text() == "kept"


def test_a_tree_deeper_than_any_path_can_name_goes(tree: Path) -> None:
    """A hostile container may nest directories until neither a path nor the stack can hold them."""
    here = os.open(tree / "v", os.O_DIRECTORY)
    for _ in range(3000):
        os.mkdir("d" * 20, dir_fd=here)
        below = os.open("d" * 20, os.O_DIRECTORY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    remove(tree)
    assert not tree.exists()
