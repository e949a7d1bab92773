"""hostPath types."""

from __future__ import annotations

from pathlib import Path

import pytest

from sampan.kubelet.volumes.contract import VolumeFault
from sampan.kubelet.volumes.hostpath import host_path


@pytest.mark.parametrize(
    ("kind", "name", "fine"),
    [
        ("", "dir", True),
        ("", "file", True),
        ("", "new", True),
        ("Directory", "dir", True),
        ("Directory", "file", False),
        ("Directory", "new", False),
        ("DirectoryOrCreate", "new", True),
        ("DirectoryOrCreate", "file", False),
        ("File", "file", True),
        ("File", "dir", False),
        ("File", "new", False),
        ("FileOrCreate", "new", True),
        ("FileOrCreate", "dir", False),
        ("Socket", "file", False),
        ("CharDevice", "dir", False),
        ("BlockDevice", "dir", False),
    ],
)
def test_types(tmp_path: Path, kind: str, name: str, fine: bool) -> None:
    (tmp_path / "dir").mkdir()
    (tmp_path / "file").touch()
    path = tmp_path / name
    if fine:
        assert host_path("v", str(path), kind).path == str(path)
        assert path.exists()
    else:
        with pytest.raises(VolumeFault, match="hostPath type check failed"):
            host_path("v", str(path), kind)


def test_char_device() -> None:
    assert host_path("v", "/dev/null", "CharDevice").path == "/dev/null"
