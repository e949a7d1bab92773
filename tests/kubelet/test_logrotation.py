"""A log that has grown too long is begun anew, and the oldest parts go."""

from __future__ import annotations

import gzip
from pathlib import Path

from sampan.kubelet import logrotation
from sampan.kubelet.logrotation import LogRotation, pack
from sampan.kubelet.runtime.contract import ContainerSpec, Record
from sampan.kubelet.runtime.fake import FakeRuntime


def test_rotation(tmp_path: Path) -> None:
    log = tmp_path / "0.log"
    for number in range(6):
        (tmp_path / f"0.log.2025010{number}-000000").write_text(str(number))
    log.write_text("x" * 10)
    spec = ContainerSpec("id", "u", "c", 0, (), (), {}, "/", "", (), str(log), "")
    runtime = FakeRuntime()
    rotation = LogRotation(runtime, lambda: [Record(spec, 1, 0, 0, None)], max_bytes=10)
    rotation.rotate()
    assert log.exists() and runtime.reopened_logs == []
    log.write_text("x" * 11)
    rotation.rotate()
    assert not log.exists() and runtime.reopened_logs == ["id"]
    left = sorted(path.name for path in tmp_path.iterdir())
    assert len(left) == logrotation.MAX_FILES - 1
    assert left[0] == "0.log.20250103-000000"
    rotation.rotate()
    assert runtime.reopened_logs == ["id"]


def test_what_nobody_writes_to_any_more_is_packed(tmp_path: Path) -> None:
    log = tmp_path / "0.log"
    spec = ContainerSpec("id", "u", "c", 0, (), (), {}, "/", "", (), str(log), "")
    rotation = LogRotation(FakeRuntime(), lambda: [Record(spec, 1, 0, 0, None)], max_bytes=10)
    (tmp_path / "0.log.20250101-000000").write_text("old" * 1000)
    log.write_text("x" * 11)
    (old,) = rotation.rotate()
    assert old.name == "0.log.20250101-000000"  # the one just renamed may still be written to
    aged = old.stat().st_mtime
    pack(old)
    (packed,) = tmp_path.glob("*.gz")
    assert gzip.decompress(packed.read_bytes()) == b"old" * 1000
    assert packed.stat().st_mtime == aged and not old.exists()
    assert not list(tmp_path.glob("*.tmp"))
