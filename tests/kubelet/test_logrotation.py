"""A log that has grown too long is begun anew, and the oldest parts go."""

from __future__ import annotations

from pathlib import Path

import pytest

from sampan.kubelet import logrotation
from sampan.kubelet.logrotation import LogRotation
from sampan.kubelet.runtime.contract import ContainerSpec, Record
from sampan.kubelet.runtime.fake import FakeRuntime


def test_rotation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logrotation, "MAX_BYTES", 10)
    log = tmp_path / "0.log"
    for number in range(6):
        (tmp_path / f"0.log.2025010{number}-000000").write_text(str(number))
    log.write_text("x" * 10)
    spec = ContainerSpec("id", "u", "c", 0, (), (), {}, "/", "", (), str(log), "")
    runtime = FakeRuntime()
    rotation = LogRotation(runtime, lambda: [Record(spec, 1, 0, 0, None)])
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
