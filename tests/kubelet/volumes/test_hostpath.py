"""hostPath: every type, against everything that may be there."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from sampan.kubelet.volumes.contract import VolumeFault
from sampan.kubelet.volumes.hostpath import host_path

WORDS = {
    "Directory": "is not a directory",
    "DirectoryOrCreate": "is not a directory",
    "File": "is not a file",
    "FileOrCreate": "is not a file",
    "Socket": "is not a socket file",
    "CharDevice": "is not a character device",
    "BlockDevice": "is not a block device",
}
FITS = {
    "directory": {"Directory", "DirectoryOrCreate"},
    "file": {"File", "FileOrCreate"},
    "socket": {"Socket"},
    "device": {"CharDevice"},
    "missing": {"DirectoryOrCreate", "FileOrCreate"},
}


@pytest.fixture
def places(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "directory").mkdir()
    (tmp_path / "file").write_text("kept")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
    found = {name: str(tmp_path / name) for name in FITS}
    return found | {"device": "/dev/null"}


@pytest.mark.parametrize("there", FITS)
@pytest.mark.parametrize("kind", WORDS)
def test_types(places: dict[str, str], there: str, kind: str) -> None:
    path = places[there]
    if kind in FITS[there]:
        assert host_path("v", path, kind).path == path
        assert Path(path).exists()
        return
    with pytest.raises(VolumeFault) as caught:
        host_path("v", path, kind)
    assert caught.value.message == f"hostPath type check failed: {path} {WORDS[kind]}"
    assert (there == "missing") != Path(path).exists()


def test_a_file_that_is_there_is_left_alone(places: dict[str, str]) -> None:
    before = Path(places["file"]).stat().st_mtime_ns
    host_path("v", places["file"], "FileOrCreate")
    assert Path(places["file"]).stat().st_mtime_ns == before


def test_without_a_type_anything_goes(places: dict[str, str]) -> None:
    for path in places.values():
        assert host_path("v", path, "").path == path
    assert Path(places["missing"]).is_dir()


def test_modes_of_what_is_made(tmp_path: Path) -> None:
    host_path("v", str(tmp_path / "a" / "d"), "DirectoryOrCreate")
    host_path("v", str(tmp_path / "a" / "f"), "FileOrCreate")
    assert (tmp_path / "a" / "d").stat().st_mode & 0o777 == 0o755
    assert (tmp_path / "a" / "f").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize(
    ("path", "kind", "complaint"),
    [
        ("relative", "", "hostPath relative is not an absolute path"),
        ("/tmp", "Tape", "Tape is an invalid volume type"),
        ("/none/f", "FileOrCreate", "hostPath type check failed: /none/f: no such file or directory"),
    ],
)
def test_refusals(path: str, kind: str, complaint: str) -> None:
    with pytest.raises(VolumeFault) as caught:
        host_path("v", path, kind)
    assert caught.value.message == complaint
