from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from sampan.kubelet.runtime.contract import Exit
from sampan.kubelet.runtime.exits import ExitDirectory, unseen, verdict

pytestmark = pytest.mark.virtual_time


@pytest.mark.parametrize(
    ("code", "oom_file", "oom"),
    [(137, True, True), (1, True, True), (0, True, False), (137, False, False), (143, True, False)],
)
def test_an_oom_kill_is_what_ended_it(code: int, oom_file: bool, oom: bool) -> None:
    assert verdict(code, 5.0, oom_file=oom_file) == Exit(code, 5.0, oom=oom)


def test_an_end_without_witness() -> None:
    assert unseen(None, 5.0, oom_file=False) == Exit(255, 5.0, unknown=True)
    assert unseen(137, 5.0, oom_file=True) == Exit(137, 5.0, oom=True)


async def test_only_finished_files_are_told(tmp_path: Path) -> None:
    told: list[str] = []
    directory = ExitDirectory(tmp_path, told.append)
    directory.open()
    try:
        (tmp_path / "c1.x7Qa").write_text("4")
        await asyncio.sleep(0.02)
        assert told == []
        (tmp_path / "c1.x7Qa").rename(tmp_path / "c1")
        await asyncio.sleep(0.02)
        assert told == ["c1"]
        found = directory.read("c1", tmp_path)
        assert found is not None
        assert (found.code, found.finished_at_s) == (4, (tmp_path / "c1").stat().st_mtime)
        assert directory.read("c2", tmp_path) is None
    finally:
        directory.close()
