from __future__ import annotations

from pathlib import Path

from sampan.kubelet.eviction.signals import NodeSignals, Observation


def test_what_is_left(tmp_path: Path) -> None:
    (tmp_path / "sys/kernel").mkdir(parents=True)
    (tmp_path / "meminfo").write_text(
        "MemTotal: 1000 kB\nMemFree: 1 kB\nMemAvailable: 400 kB\nHugePages_Total: 0\n"
    )
    (tmp_path / "loadavg").write_text("0.20 0.18 0.12 1/80 11206\n")
    (tmp_path / "sys/kernel/pid_max").write_text("32768\n")
    found = NodeSignals(tmp_path, tmp_path / "none", tmp_path)()
    assert found["memory.available"] == Observation(400 << 10, 1000 << 10)
    assert found["pid.available"] == Observation(32688, 32768)
    assert 0 < found["nodefs.available"].available <= found["nodefs.available"].capacity
    assert found["imagefs.inodesFree"] == Observation(0, 0), "no such disk: no such signal"


def test_this_machine_has_them_all() -> None:
    found = NodeSignals(Path("/"), Path("/"))()
    assert found["memory.available"].available > 0 and found["pid.available"].available > 0
