"""The real mounts, in a directory that is empty again afterwards."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from sampan.kubelet.runtime import libc, mounts
from sampan.kubelet.volumes.contract import VolumeFault
from sampan.kubelet.volumes.emptydir import EmptyDir
from sampan.kubelet.volumes.mounter import LinuxMounter
from sampan.kubelet.volumes.volumes import Volumes

pytestmark = pytest.mark.root
MI = 1 << 20


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    mounts.detach_below(tmp_path)


def directory(root: Path, name: str) -> str:
    (root / name).mkdir()
    return str(root / name)


@pytest.mark.parametrize("secret", [False, True])
def test_tmpfs(root: Path, secret: bool) -> None:
    path = directory(root, "m")
    for _ in range(2):
        LinuxMounter().tmpfs(path, MI, mode=0o2777, gid=7, secret=secret)
    (point,) = [point for point in mounts.table() if point.target == path]
    assert point.kind == "tmpfs"
    assert ("noswap" in point.super_options) is secret
    shape = Path(path).stat()
    assert (shape.st_gid, shape.st_mode & 0o7777) == (7, 0o2777)
    sizes = os.statvfs(path)
    assert sizes.f_blocks * sizes.f_frsize == MI


def test_bind_and_unmount(root: Path) -> None:
    (root / "f").write_text("x")
    (root / "t").touch()
    descriptor = os.open(root / "f", os.O_PATH)
    LinuxMounter().bind(descriptor, str(root / "t"))
    os.close(descriptor)
    assert (root / "t").read_text() == "x"
    for _ in range(2):
        LinuxMounter().unmount(str(root))
    assert (root / "t").read_text() == ""


@pytest.mark.parametrize("count", [1, 2, 60])
async def test_layers(short_dir: Path, count: int) -> None:
    """Also one, of which overlayfs alone makes no tree, and more than a page of options can name."""
    root = short_dir / f"layers-{count}"
    layers = []
    for number in range(count):
        layer = root / f"layer-{number}-{'x' * 30}"
        layer.mkdir(parents=True)
        (layer / "top").write_text(str(number))
        (layer / f"own-{number}").touch()
        layers.append(str(layer))
    target = root / "target"
    target.mkdir()
    try:
        for _ in range(2):
            await LinuxMounter().layers(str(target), layers)
        assert (target / "top").read_text() == "0"
        assert len(list(target.iterdir())) == count + 1
        with pytest.raises(OSError, match="Read-only"):
            (target / "new").touch()
        assert os.statvfs(target).f_flag & (os.ST_NOEXEC | os.ST_NODEV | os.ST_NOSUID)
    finally:
        LinuxMounter().unmount(str(target))
    assert list(target.iterdir()) == []


async def test_a_disk_that_is_full(root: Path) -> None:
    """It is said whose volume does not fit; once there is room it is made, and in the end nothing is left."""
    libc.mount("tmpfs", str(root), "tmpfs", 0, "nr_inodes=6")
    mounter = LinuxMounter()
    volumes = Volumes(root, {"emptyDir": EmptyDir(mounter, dict)}, mounter)
    for number in range(4):
        (root / str(number)).touch()
    mounts_of = [{"name": "v", "mountPath": "/v"}]
    spec = {
        "containers": [{"name": "c", "volumeMounts": mounts_of}],
        "volumes": [{"name": "v", "emptyDir": {}}],
    }
    pod = {"metadata": {"name": "p", "namespace": "n", "uid": "u"}, "spec": spec}
    with pytest.raises(VolumeFault, match="no space left on device"):
        await volumes.setup(pod)
    for number in range(4):
        (root / str(number)).unlink()
    await volumes.setup(pod)
    await volumes.teardown("u")
    assert list((root / "u").iterdir()) == []
