"""What a directory holds is what was written there."""

from __future__ import annotations

import os
from pathlib import Path

from sampan.kubelet.volumes.usage import Usage, measure

KI = 1024


def test_blocks_and_inodes(tmp_path: Path) -> None:
    empty = measure(str(tmp_path))
    assert empty.inodes == 1
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "f").write_bytes(b"x" * 100 * KI)
    os.link(tmp_path / "d" / "f", tmp_path / "again")
    (tmp_path / "link").symlink_to("/etc")
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(100 << 20)
    found = measure(str(tmp_path))
    assert 100 * KI <= found.bytes - empty.bytes < 150 * KI
    assert found.inodes == 5


def test_nothing_there(tmp_path: Path) -> None:
    assert measure(str(tmp_path / "none")) == Usage()
