from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from sampan.kubelet.runtime import pipes

pytestmark = pytest.mark.virtual_time


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def test_readers_take_over_their_descriptors() -> None:
    before = descriptors()
    ends = [os.pipe2(os.O_CLOEXEC) for _ in range(2)]
    (first, one), (second, two) = await pipes.readers(*(reading for reading, _ in ends))
    for _, writing in ends:
        os.write(writing, b"x")
        os.close(writing)
    assert (await first.read(), await second.read()) == (b"x", b"x")
    for transport in (one, two):
        transport.close()
    await asyncio.sleep(0.01)
    assert descriptors() == before


@pytest.mark.parametrize("turns", range(1, 6))
async def test_cancelled_at_any_moment_they_leave_nothing_open(turns: int) -> None:
    before = descriptors()
    ends = [os.pipe2(os.O_CLOEXEC) for _ in range(2)]
    task = asyncio.create_task(pipes.readers(*(reading for reading, _ in ends)))
    for _ in range(turns):
        await asyncio.sleep(0)
    assert task.cancel() or task.done()
    made = (await asyncio.gather(task, return_exceptions=True))[0]
    for _, transport in made if isinstance(made, list) else ():
        transport.close()
    for _, writing in ends:
        os.close(writing)
    await asyncio.sleep(0.01)
    assert descriptors() == before
