"""What this machine has."""

from __future__ import annotations

from pathlib import Path

import pytest

from sampan.kubelet import machine
from sampan.kubelet.machine import Machine


def test_found(tmp_path: Path) -> None:
    found = Machine.found(tmp_path)
    assert found.cpus >= 1 and found.memory_bytes > 1 << 20 and found.disk_bytes > 0
    assert found.architecture in machine.GOARCH.values() or found.architecture


def test_huge_pages_are_those_set_aside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for pool, pages in (("hugepages-2048kB", "3"), ("hugepages-1048576kB", "0"), ("hugepages-64kB", "")):
        (tmp_path / pool).mkdir()
        (tmp_path / pool / "nr_hugepages").write_text(f"{pages}\n")
    monkeypatch.setattr(machine, "HUGE_POOLS", tmp_path)
    found = Machine.found(tmp_path).huge_pages
    assert found == {"hugepages-2Mi": 6 << 20, "hugepages-1Gi": 0, "hugepages-64Ki": 0}
