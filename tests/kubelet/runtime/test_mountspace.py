"""One mount namespace for all that must not see one mount; it follows ours, and is made anew if it cannot."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from sampan.kubelet.runtime import cgroup, libc, mounts
from sampan.kubelet.runtime.mountspace import MountSpace
from sampan.kubelet.runtime.process import spawn

pytestmark = pytest.mark.root


@pytest.fixture
def hidden() -> str:
    return cgroup.layout(mounts.table()).hybrid_leftover or pytest.skip("nothing needs to be hidden here")


@pytest.fixture
def data(tmp_path: Path) -> Iterator[Path]:
    data = tmp_path / "data"
    data.mkdir()
    mounts.share(data)
    yield data
    mounts.detach_below(tmp_path)


def seen() -> set[str]:
    """Mount points as a child of the calling thread finds them."""
    child = spawn(["cat", "/proc/self/mountinfo"], stdout=subprocess.PIPE)
    output, _ = child.communicate()
    return {point.target for point in mounts.parse_mountinfo(output.decode())}


async def test_one_mount_is_hidden_and_no_other(data: Path, hidden: str) -> None:
    space = MountSpace(hidden, data)
    inside = await space.call(seen)
    assert seen() - inside == {hidden}
    assert hidden in seen(), "it must not be taken from everybody"
    space.close()


async def test_mounts_in_the_data_directory_follow_both_ways(data: Path, hidden: str) -> None:
    space = MountSpace(hidden, data)
    await space.call(seen)
    volume, shared = data / "volume", data / "shared"
    for directory in (volume, shared):
        directory.mkdir()
    libc.mount("tmpfs", str(volume), "tmpfs")
    assert str(volume) in await space.call(seen)
    await space.call(lambda: libc.mount("tmpfs", str(shared), "tmpfs"))
    assert str(shared) in seen()
    mounts.detach(volume)
    assert str(volume) not in await space.call(seen)
    space.close()


async def test_a_later_mount_elsewhere_is_seen_by_those_who_mount_from_there(
    data: Path, tmp_path: Path, hidden: str
) -> None:
    private = tmp_path / "private"
    private.mkdir()
    libc.mount("tmpfs", str(private), "tmpfs")
    libc.mount("", str(private), flags=libc.MS_PRIVATE)
    (private / "disk").mkdir()
    space = MountSpace(hidden, data)
    before = await space.call(_namespace)
    libc.mount("tmpfs", str(private / "disk"), "tmpfs")
    assert await space.call(_namespace, [str(data / "pods")]) == before, "no reason to look"
    assert str(private / "disk") in await space.call(seen, [str(private)])
    space.close()


async def test_another_process_goes_on_where_a_child_of_the_first_lives(data: Path, hidden: str) -> None:
    first = MountSpace(hidden, data)
    child = await first.call(lambda: spawn(["sleep", "100"]))
    theirs = await first.call(_namespace)
    first.close()
    second = MountSpace(hidden, data)
    await second.join(child.pid)
    assert await second.call(_namespace) == theirs
    child.kill()
    child.wait()
    await second.join(child.pid)  # gone: nothing changes
    assert await second.call(_namespace) == theirs
    second.close()


def _namespace() -> str:
    child = spawn(["readlink", "/proc/self/ns/mnt"], stdout=subprocess.PIPE)
    return child.communicate()[0].decode()
