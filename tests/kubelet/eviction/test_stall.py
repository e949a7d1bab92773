from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from sampan.kubelet.eviction import stall
from sampan.kubelet.eviction.stall import MemoryStall

pytestmark = pytest.mark.virtual_time


async def test_without_the_kernels_help_there_is_none(tmp_path: Path) -> None:
    watch = MemoryStall(lambda: None, tmp_path / "none")
    assert not watch.open()
    watch.close()


@pytest.mark.skipif(not stall.PRESSURE.exists(), reason="this kernel has no PSI")
async def test_it_is_armed_and_given_back() -> None:
    heard: list[bool] = []
    watch = MemoryStall(lambda: heard.append(True))
    assert watch.open()
    await asyncio.sleep(0.01)
    watch.close()
    watch.close()
    assert not heard
