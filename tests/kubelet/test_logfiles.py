"""The files of one log, by name."""

from __future__ import annotations

from pathlib import Path

from sampan.kubelet import logfiles
from sampan.kubelet.logrotation import pack


def test_files_by_age(tmp_path: Path) -> None:
    log = tmp_path / "0.log"
    for name in ("0.log.2-b", "0.log.1-a", "1.log", "0.log.3-c.gz.tmp", "0.log.1-a.gz"):
        (tmp_path / name).write_text("")
    assert [path.name for path in logfiles.files(log)] == ["0.log.1-a", "0.log.2-b"]
    log.write_text("")
    pack(tmp_path / "0.log.2-b")
    assert [path.name for path in logfiles.files(log)] == ["0.log.1-a", "0.log.2-b.gz", "0.log"]


def test_what_comes_after(tmp_path: Path) -> None:
    log = tmp_path / "0.log"
    for name in ("0.log.1-a", "0.log.3-c.gz", "0.log"):
        (tmp_path / name).write_text("")
    following = {
        "0.log.0-z": "0.log.1-a",
        "0.log.1-a": "0.log.3-c.gz",
        "0.log.2-b": "0.log.3-c.gz",
        "0.log.3-c": "0.log",
        "0.log.3-c.gz": "0.log",
        "0.log": "0.log",
    }
    for name, wanted in following.items():
        assert logfiles.after(log, name).name == wanted


def test_an_open_file_knows_its_name(tmp_path: Path) -> None:
    log = tmp_path / "0.log"
    log.write_text("x")
    with log.open("rb") as stream:
        assert logfiles.name_now(stream) == "0.log"
        moved = log.rename(tmp_path / "0.log.1-a")
        assert logfiles.name_now(stream) == "0.log.1-a"
        pack(moved)
        assert logfiles.name_now(stream) == "0.log.1-a"
    packed = logfiles.open_part(moved)
    assert packed is not None
    with packed:
        assert (logfiles.name_now(packed), packed.read()) == ("0.log.1-a.gz", b"x")
    assert logfiles.open_part(tmp_path / "gone") is None
