"""Unpacking: what a layer may do to the disk, and what it may not."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import stat
import tarfile
from pathlib import Path
from typing import Any

import pytest

from sampan.kubelet.images.layers import LayerFault, unpack

pytestmark = pytest.mark.root


def entry(name: str, data: bytes | None = None, **fields: Any) -> tuple[tarfile.TarInfo, bytes | None]:
    info = tarfile.TarInfo(name)
    info.mode = 0o644
    info.size = len(data or b"")
    for key, value in fields.items():
        setattr(info, key, value)
    return info, data


def directory(name: str, **fields: Any) -> tuple[tarfile.TarInfo, None]:
    return entry(name, type=tarfile.DIRTYPE, **{"mode": 0o755} | fields)[0], None


def link(name: str, target: str, *, hard: bool = False) -> tuple[tarfile.TarInfo, None]:
    return entry(name, type=tarfile.LNKTYPE if hard else tarfile.SYMTYPE, linkname=target)[0], None


class Layers:
    def __init__(self, base: Path) -> None:
        self._base, self._count = base, 0

    def __call__(self, *entries: tuple[tarfile.TarInfo, bytes | None], lower: tuple[Path, ...] = ()) -> Path:
        self._count += 1
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
            for info, data in entries:
                tar.addfile(info, io.BytesIO(data) if data is not None else None)
        blob, target = self._base / f"{self._count}.tar", self._base / str(self._count)
        blob.write_bytes(gzip.compress(buffer.getvalue()))
        target.mkdir()
        self.last = unpack(blob, target, "sha256:" + hashlib.sha256(buffer.getvalue()).hexdigest(), lower)
        return target


@pytest.fixture
def layers(tmp_path: Path) -> Layers:
    return Layers(tmp_path)


def is_whiteout(path: Path) -> bool:
    info = path.lstat()
    return stat.S_ISCHR(info.st_mode) and info.st_rdev == 0


def test_modes_owners_times_and_attributes_are_kept(layers: Layers) -> None:
    attributes = {"SCHILY.xattr.user.x": "y", "SCHILY.xattr.trusted.overlay.opaque": "y"}
    found = layers(
        directory("tmp", mode=0o1777, mtime=5),
        entry("tmp/su", b"x", mode=0o4755, uid=7, gid=8, mtime=99, pax_headers=attributes),
        link("tmp/link", "/etc/passwd"),
        link("tmp/hard", "tmp/su", hard=True),
        entry("tmp/fifo", type=tarfile.FIFOTYPE),
    )
    info = (found / "tmp/su").stat()
    assert (stat.S_IMODE(info.st_mode), info.st_uid, info.st_gid, info.st_mtime) == (0o4755, 7, 8, 99)
    assert (stat.S_IMODE((found / "tmp").stat().st_mode), (found / "tmp").stat().st_mtime) == (0o1777, 5)
    assert os.listxattr(found / "tmp/su") == ["user.x"]
    assert str((found / "tmp/link").readlink()) == "/etc/passwd"
    assert (found / "tmp/hard").samefile(found / "tmp/su")
    assert stat.S_ISFIFO((found / "tmp/fifo").stat().st_mode)
    assert not layers.last.depends_on_lower


def test_whiteouts_hide_what_is_below_and_nothing_of_their_own_layer(layers: Layers) -> None:
    found = layers(
        directory("etc"),
        entry("etc/.wh.gone"),
        entry("etc/kept", b"mine"),
        entry("etc/.wh.kept"),
        directory("var"),
        entry("var/.wh..wh..opq"),
        entry("var/.wh..wh.plnk"),
        entry(".wh.back"),
        directory("back"),
    )
    assert is_whiteout(found / "etc/gone")
    assert (found / "etc/kept").read_bytes() == b"mine"
    assert os.getxattr(found / "var", "trusted.overlay.opaque") == b"y"
    assert list((found / "var").iterdir()) == []
    # Removed and made anew: what the layers below had there stays hidden.
    assert os.getxattr(found / "back", "trusted.overlay.opaque") == b"y"


def test_the_last_entry_of_a_name_wins(layers: Layers) -> None:
    found = layers(
        entry("a", b"1"),
        entry("a", b"2"),
        directory("b"),
        entry("b/x", b""),
        entry("b", b"3"),
        link("c", "a"),
        entry("c", b"4"),
    )
    assert [(found / name).read_bytes() for name in "abc"] == [b"2", b"3", b"4"]


def test_absolute_names_and_links_stay_inside(layers: Layers, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    found = layers(
        entry("/abs", b"x"),
        link("way", str(outside)),
        entry("way/file", b"x"),
        link("up", "../../../.."),
        entry("up/file", b"x"),
    )
    assert (found / "abs").exists()
    assert list(outside.iterdir()) == []
    assert (found / str(outside).lstrip("/") / "file").exists()
    assert (found / "file").exists()


@pytest.mark.parametrize(
    ("entries", "why"),
    [
        ([entry("../x", b"")], "leaves the image"),
        ([entry("a/../../x", b"")], "leaves the image"),
        ([link("x", "../../../etc/passwd", hard=True)], "leaves the image"),
        ([link("x", "/etc/passwd", hard=True)], "which the layer does not have"),
        ([link("a", "b"), link("b", "a"), entry("a/x", b"")], "too many symbolic links"),
        ([entry("a", b""), entry("a/b", b"")], "used as a directory"),
    ],
)
def test_what_would_leave_the_directory_is_refused(layers: Layers, entries: Any, why: str) -> None:
    with pytest.raises(LayerFault, match=why):
        layers(*entries)


def test_device_nodes_are_left_out(layers: Layers) -> None:
    found = layers(entry("sda", type=tarfile.BLKTYPE, devmajor=8), entry("null", type=tarfile.CHRTYPE))
    assert list(found.iterdir()) == []


def test_a_directory_without_an_entry_is_like_the_one_below(layers: Layers) -> None:
    base = layers(
        directory("tmp", mode=0o1777), link("lib", "usr/lib"), directory("usr"), directory("usr/lib")
    )
    found = layers(entry("tmp/x", b""), entry("lib/y", b""), lower=(base,))
    assert stat.S_IMODE((found / "tmp").stat().st_mode) == 0o1777
    assert not (found / "lib").is_symlink()
    assert (found / "usr/lib/y").exists()
    assert layers.last.depends_on_lower


def test_a_damaged_layer_is_refused(tmp_path: Path) -> None:
    blob, target = tmp_path / "blob", tmp_path / "target"
    good = gzip.compress(b"\0" * 10240)
    for data, diff_id, why in (
        (good, "sha256:" + "0" * 64, "it unpacks to sha256:"),
        (good[:-9], "", "damaged"),
        (b"\x28\xb5\x2f\xfd....", "", "damaged: .*stdin"),
        (b"no tar at all" * 100, "", "damaged"),
    ):
        blob.write_bytes(data)
        target.mkdir(exist_ok=True)
        with pytest.raises(LayerFault, match=why):
            unpack(blob, target, diff_id)
