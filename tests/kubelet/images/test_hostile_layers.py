"""Layers that mean harm: none writes outside its directory, fills the machine, or brings the process down.

Named after what was found in other runtimes over the years.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import io
import os
import shutil
import stat
import subprocess
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sampan.kubelet.images.layers import LayerFault, Limits, unpack

pytestmark = pytest.mark.root

LOOSE = Limits(reserve=0)


def info(name: str, kind: bytes = tarfile.REGTYPE, target: str = "", size: int = 0) -> tarfile.TarInfo:
    found = tarfile.TarInfo(name)
    found.type, found.linkname, found.size, found.mode = kind, target, size, 0o755
    return found


def tar(*entries: tarfile.TarInfo, data: bytes = b"") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for entry in entries:
            archive.addfile(entry, io.BytesIO(data[: entry.size].ljust(entry.size, b"\0")))
    return buffer.getvalue()


def unpacked(base: Path, data: bytes, limits: Limits = LOOSE) -> Path:
    target = base / "image" / "layer"
    target.mkdir(parents=True)
    blob = base / "blob"
    blob.write_bytes(gzip.compress(data, 1))
    unpack(blob, target, "sha256:" + hashlib.sha256(data).hexdigest(), limits=limits)
    return target


SYM, HARD, DIR = tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE


@pytest.mark.parametrize(
    "entries",
    [
        pytest.param([info("../canary", size=1)], id="CVE-2018-15664-like: the name goes up"),
        pytest.param([info("a/../../canary", size=1)], id="a name that goes up further on"),
        pytest.param([info("x", SYM, "../.."), info("x/canary", size=1)], id="through a link upwards"),
        pytest.param([info("x", SYM, "/"), info("x/canary", size=1)], id="through a link to the root"),
        pytest.param([info("x", HARD, "../canary")], id="CVE-2019-14271-like: a hard link outwards"),
        pytest.param([info("x", HARD, "/etc/passwd")], id="a hard link to the host's file"),
        pytest.param(
            [info("x", SYM, "../canary"), info("y", HARD, "x"), info("y", size=1)], id="link to a link to it"
        ),
        pytest.param(
            [info("x", DIR), info("x", SYM, ".."), info("x/canary", size=1)], id="a directory becomes a link"
        ),
        pytest.param(
            [info("x", SYM, ".."), info("x/.wh.canary")], id="CVE-2024-like: a whiteout through a link"
        ),
        pytest.param([info(".wh...")], id="a whiteout of the directory above"),
        pytest.param([info("x", SYM, "x"), info("x/y", size=1)], id="a link to itself"),
    ],
)
def test_nothing_outside_is_touched(tmp_path: Path, entries: Sequence[tarfile.TarInfo]) -> None:
    canary = tmp_path / "image" / "canary"
    canary.parent.mkdir()
    canary.write_text("sings")
    before = {path: path.lstat() for path in (canary, Path("/etc/passwd"))}
    with contextlib.suppress(LayerFault):
        unpacked(tmp_path, tar(*entries, data=b"!"))
    assert canary.read_text() == "sings"
    for path, then in before.items():
        now = path.lstat()
        assert (now.st_ino, now.st_mtime_ns, now.st_nlink) == (then.st_ino, then.st_mtime_ns, then.st_nlink)


NAMES = st.lists(
    st.sampled_from(["a", "b", "..", ".", "", "c" * 120, ".wh.a", ".wh..wh..opq"]), max_size=4
).map("/".join)
ENTRIES = st.builds(
    info,
    NAMES,
    st.sampled_from([tarfile.REGTYPE, DIR, SYM, HARD, tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE]),
    st.one_of(NAMES, NAMES.map("/".__add__)),
)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(ENTRIES, max_size=12))
def test_any_layer_stays_inside(entries: Sequence[tarfile.TarInfo]) -> None:
    base = Path(tempfile.mkdtemp(dir="/var/tmp", prefix="sampan-layer-"))
    try:
        (base / "image").mkdir()
        for name in ("a", "b", "canary"):
            (base / "image" / name).write_text(name)
        with contextlib.suppress(LayerFault):
            unpacked(base, tar(*entries))
        assert sorted(path.name for path in (base / "image").iterdir()) == ["a", "b", "canary", "layer"]
        assert [(base / "image" / name).read_text() for name in ("a", "b", "canary")] == ["a", "b", "canary"]
        assert sorted(path.name for path in base.iterdir()) == ["blob", "image"]
        for path in (base / "image/layer").rglob("*"):
            mode = path.lstat()
            assert not stat.S_ISBLK(mode.st_mode)
            assert not stat.S_ISCHR(mode.st_mode) or mode.st_rdev == 0
    finally:
        shutil.rmtree(base)


def test_devices_are_left_out(tmp_path: Path) -> None:
    device = info("dev/sda", tarfile.BLKTYPE)
    device.devmajor, device.devminor = 8, 0
    assert list((unpacked(tmp_path, tar(info("dev", DIR), device)) / "dev").iterdir()) == []


def test_a_bomb_ends_early(tmp_path: Path) -> None:
    data = tar(info("zeros", size=64 << 20))
    with pytest.raises(LayerFault, match="out of proportion"):
        unpacked(tmp_path, data, Limits(ratio=10, free_bytes=4 << 20, reserve=0))


def test_entries_are_counted(tmp_path: Path) -> None:
    with pytest.raises(LayerFault, match="more than 10 entries"):
        unpacked(tmp_path, tar(*(info(str(n)) for n in range(20))), Limits(entries=10, reserve=0))


def test_a_header_is_not_read_into_memory_without_end(tmp_path: Path) -> None:
    huge = info("x")
    huge.pax_headers = {"comment": "x" * (2 << 20)}
    with pytest.raises(LayerFault, match="extended header of"):
        unpacked(tmp_path, tar(huge))


@pytest.mark.parametrize(
    "change",
    [
        {"uid": 2**40},
        {"gid": 2**33},
        {"pax_headers": {"path": "a\0b"}},
        {"pax_headers": {"path": "a" * 5000}},
        {"pax_headers": {"path": "a" * 300}},
        {"pax_headers": {"size": "-5"}},
        {"type": b"Z"},
    ],
)
def test_nonsense_is_a_fault_of_the_layer(tmp_path: Path, change: dict[str, object]) -> None:
    entry = info("x")
    for name, value in change.items():
        setattr(entry, name, value)
    with pytest.raises((LayerFault, OSError)):
        unpacked(tmp_path, tar(entry))


def test_times_without_sense_are_bounded(tmp_path: Path) -> None:
    late, early = info("late"), info("early")
    late.mtime, early.mtime = 10**15, -(10**15)  # type: ignore[assignment]
    found = unpacked(tmp_path, tar(late, early))
    assert (found / "late").stat().st_mtime > (found / "early").stat().st_mtime


def test_holes_stay_holes(tmp_path: Path) -> None:
    """As GNU tar writes them, and as zeros."""
    source = tmp_path / "source"
    source.mkdir()
    with (source / "sparse").open("wb") as file:
        file.seek(32 << 20)
        file.write(b"end")
    made = subprocess.run(["tar", "-C", source, "--sparse", "-c", "sparse"], check=True, capture_output=True)
    for name, data in (("gnu", made.stdout), ("zeros", tar(info("sparse", size=32 << 20)))):
        (tmp_path / name).mkdir()
        found = (unpacked(tmp_path / name, data) / "sparse").stat()
        assert found.st_size >= 32 << 20
        assert found.st_blocks * 512 < 1 << 20
    assert (tmp_path / "gnu/image/layer/sparse").read_bytes().endswith(b"\0end")


def test_capabilities_and_long_names_are_kept(tmp_path: Path) -> None:
    value = bytes.fromhex("0100000200040000000000000000000000000000")  # cap_net_bind_service=ep
    long = "/".join(["d" * 90] * 4)
    ping = info(f"{long}/ping", size=1)
    ping.pax_headers = {"SCHILY.xattr.security.capability": value.decode("utf-8", "surrogateescape")}
    found = unpacked(tmp_path, tar(ping, data=b"x")) / long / "ping"
    assert os.getxattr(found, "security.capability") == value


def test_gnu_long_names(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    name = "n" * 200
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as archive:
        archive.addfile(info(name))
        archive.addfile(info("link", SYM, "t" * 200))
    found = unpacked(tmp_path, buffer.getvalue())
    assert (found / name).exists()
    assert str((found / "link").readlink()) == "t" * 200
