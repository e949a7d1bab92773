from __future__ import annotations

from pathlib import Path

from sampan.api import process
from sampan.api.prometheus import text


def test_this_process_uses_something() -> None:
    values = dict(line.split() for line in text(process.families()).decode().splitlines() if line[0] != "#")
    assert (
        1 << 20
        < float(values["process_resident_memory_bytes"])
        < float(values["process_virtual_memory_bytes"])
    )
    assert float(values["process_open_fds"]) >= 3
    assert float(values["process_cpu_seconds_total"]) > 0


def test_without_proc_there_is_time_only(tmp_path: Path) -> None:
    names = [family.name for family in process.families(tmp_path / "none")]
    assert names == ["process_cpu_seconds_total", "process_start_time_seconds"]
