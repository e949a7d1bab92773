from __future__ import annotations

from pathlib import Path

import pytest

from sampan.kubelet.runtime import libc, mounts
from sampan.kubelet.runtime.mounts import below, parse_mountinfo

TABLE = """\
22 1 254:0 / / rw,relatime - ext4 /dev/vda rw
30 22 254:0 /d /var/lib/x rw shared:5 - ext4 /dev/vda rw
31 30 0:40 / /var/lib/x/a\\040b rw master:1 shared:6 - overlay overlay rw,lowerdir=/l/1:/l/2
32 22 0:41 / /var/lib/xy rw - tmpfs tmpfs rw
"""


def test_mountinfo_is_read() -> None:
    points = list(parse_mountinfo(TABLE))
    assert [point.target for point in points] == ["/", "/var/lib/x", "/var/lib/x/a b", "/var/lib/xy"]
    assert [point.shared for point in points] == [False, True, True, False]
    assert (points[2].kind, points[2].super_options) == ("overlay", "rw,lowerdir=/l/1:/l/2")


def test_the_last_mounted_goes_first() -> None:
    assert below(Path("/var/lib/x"), list(parse_mountinfo(TABLE))) == ["/var/lib/x/a b", "/var/lib/x"]


@pytest.mark.root
def test_odd_names_are_taken_away_too(tmp_path: Path) -> None:
    place = tmp_path / "a b#c\\d"
    place.mkdir()
    (place / "in").mkdir()
    libc.mount("t", str(place), "tmpfs")
    (place / "in").mkdir()
    libc.mount("t", str(place / "in"), "tmpfs")
    mounts.detach_below(place)
    left = mounts.below(tmp_path, mounts.table())
    for target in left:
        libc.umount(target)
    assert not left


@pytest.mark.root
@pytest.mark.parametrize("disk", [False, True], ids=["directory", "disk"])
def test_what_was_shared_is_given_up_and_a_disk_stays(tmp_path: Path, disk: bool) -> None:
    place = tmp_path / "data dir"
    place.mkdir()
    if disk:
        libc.mount("t", str(place), "tmpfs")
    (place / "in").mkdir()
    for _ in range(2):
        mounts.share(place)
        at_place = [point for point in mounts.table() if point.target == str(place)]
        assert (len(at_place), at_place[-1].shared) == (2 if disk else 1, True)
    libc.mount("t", str(place / "in"), "tmpfs")
    for _ in range(2):
        mounts.unshare(place)
        assert mounts.below(tmp_path, mounts.table()) == ([str(place)] if disk else [])
    assert (place / "in").is_dir()
    mounts.detach_below(tmp_path)


@pytest.mark.root
def test_a_directory_in_memory_is_there_once_and_small(tmp_path: Path) -> None:
    place = tmp_path / "exec"
    place.mkdir()
    for _ in range(2):
        mounts.in_memory(place, 1 << 20)
    assert mounts.below(tmp_path, mounts.table()) == [str(place)]
    with pytest.raises(OSError, match="No space left"):
        (place / "big").write_bytes(bytes(2 << 20))
    mounts.detach_below(tmp_path)
