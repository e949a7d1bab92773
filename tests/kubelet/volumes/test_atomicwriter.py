"""All files change at once, and only when they change."""

from __future__ import annotations

from pathlib import Path

import pytest

from sampan.kubelet.volumes.atomicwriter import write
from sampan.kubelet.volumes.payload import File


def visible(directory: Path) -> dict[str, str]:
    return {
        str(path.relative_to(directory)): path.read_text()
        for entry in directory.iterdir()
        if not entry.name.startswith("..")
        for path in ([entry] if entry.is_file() else sorted(entry.rglob("*")))
    }


def test_layout(tmp_path: Path) -> None:
    assert write(tmp_path, {"a": File(b"1", 0o400), "x/y": File(b"2")})
    assert visible(tmp_path) == {"a": "1", "x/y": "2"}
    assert str((tmp_path / "a").readlink()) == "..data/a"
    assert str((tmp_path / "x").readlink()) == "..data/x"
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o400


def test_nothing_new_is_not_written(tmp_path: Path) -> None:
    files = {"a": File(b"1")}
    write(tmp_path, files)
    before = (tmp_path / "..data").readlink()
    assert not write(tmp_path, files)
    assert (tmp_path / "..data").readlink() == before
    assert write(tmp_path, {"a": File(b"1", 0o600)})


def test_change_swaps_one_link(tmp_path: Path) -> None:
    write(tmp_path, {"a": File(b"1"), "gone": File(b"x")})
    with (tmp_path / "a").open() as reader:
        write(tmp_path, {"a": File(b"2"), "b": File(b"3")})
        assert reader.read() == "1"
    assert visible(tmp_path) == {"a": "2", "b": "3"}
    assert len([entry for entry in tmp_path.iterdir() if entry.name.startswith("..2")]) == 1


def test_empty(tmp_path: Path) -> None:
    write(tmp_path, {})
    assert visible(tmp_path) == {}


@pytest.mark.root
def test_group(tmp_path: Path) -> None:
    write(tmp_path, {"x/a": File(b"1", 0o600)}, gid=1234)
    found = (tmp_path / "x/a").stat()
    assert (found.st_gid, found.st_mode & 0o777) == (1234, 0o640)
    assert (tmp_path / "x").stat().st_gid == 1234
    assert not write(tmp_path, {"x/a": File(b"1", 0o600)}, gid=1234)


@pytest.mark.parametrize("files", [{"a": File(b"1"), "a/b": File(b"2")}, {"x" * 300: File(b"1")}])
def test_what_cannot_be_written_leaves_the_old_set_alone(tmp_path: Path, files: dict[str, File]) -> None:
    """Paths that cannot be together, or a disk that gives no more."""
    write(tmp_path, {"old": File(b"1")})
    before = sorted(entry.name for entry in tmp_path.iterdir())
    with pytest.raises(OSError):
        write(tmp_path, files)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == before
    assert visible(tmp_path) == {"old": "1"}


def test_what_a_shot_process_left_goes_with_the_next_set(tmp_path: Path) -> None:
    (tmp_path / "..2026_01_01_00_00_00.1").mkdir()
    (tmp_path / "..2026_01_01_00_00_00.1" / "half").touch()
    (tmp_path / "..data_tmp").symlink_to("..2026_01_01_00_00_00.1")
    write(tmp_path, {"a": File(b"1")})
    assert len([entry for entry in tmp_path.iterdir() if entry.name.startswith("..")]) == 2
    assert visible(tmp_path) == {"a": "1"}


@pytest.mark.root
def test_a_file_of_somebody(tmp_path: Path) -> None:
    files = {"t": File(b"1", 0o600, uid=1000)}
    write(tmp_path, files)
    shape = (tmp_path / "t").stat()
    assert (shape.st_uid, shape.st_gid, shape.st_mode & 0o777) == (1000, 0, 0o600)
    assert not write(tmp_path, files)
    write(tmp_path, files, 2000)
    shape = (tmp_path / "t").stat()
    assert (shape.st_uid, shape.st_gid, shape.st_mode & 0o777) == (1000, 2000, 0o640)
