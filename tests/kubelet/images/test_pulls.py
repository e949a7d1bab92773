from __future__ import annotations

import asyncio

import pytest

from sampan.kubelet.images.contract import Image, ImageFault
from sampan.kubelet.images.fake import image
from sampan.kubelet.images.pulls import Pulls

pytestmark = pytest.mark.virtual_time


class Work:
    """Pulls that last until they are let go."""

    def __init__(self) -> None:
        self.let_go = asyncio.Event()
        self.begun = self.cancelled = 0

    async def __call__(self) -> Image:
        self.begun += 1
        try:
            await self.let_go.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return image("web")


async def test_equal_pulls_are_one() -> None:
    pulls, work = Pulls(4), Work()
    told: list[int] = []
    waiters = [
        asyncio.create_task(pulls.join("k", work, lambda n=n: told.append(n)))  # type: ignore[misc]
        for n in range(3)
    ]
    await asyncio.sleep(0.01)
    work.let_go.set()
    assert len({id(found) for found in await asyncio.gather(*waiters)}) == 1
    assert (work.begun, sorted(told)) == (1, [0, 1, 2])
    await pulls.join("k", work)
    assert work.begun == 2


async def test_a_pull_ends_when_the_last_who_waits_leaves() -> None:
    pulls, work = Pulls(4), Work()
    one, two = (asyncio.create_task(pulls.join("k", work)) for _ in range(2))
    await asyncio.sleep(0.01)
    one.cancel()
    await asyncio.sleep(0.01)
    assert work.cancelled == 0
    two.cancel()
    await asyncio.gather(one, two, return_exceptions=True)
    await asyncio.sleep(0.01)
    assert work.cancelled == 1
    again = asyncio.create_task(pulls.join("k", work))
    await asyncio.sleep(0.01)
    work.let_go.set()
    assert (await again).reference == "docker.io/library/web:latest"


async def test_only_a_few_run_at_once_and_say_when_they_begin() -> None:
    pulls, works = Pulls(2), [Work() for _ in range(3)]
    told: list[int] = []
    tasks = [
        asyncio.create_task(pulls.join(n, work, lambda n=n: told.append(n)))  # type: ignore[misc]
        for n, work in enumerate(works)
    ]
    await asyncio.sleep(0.01)
    assert told == [0, 1]
    works[1].let_go.set()
    await asyncio.sleep(0.01)
    assert told == [0, 1, 2]
    for work in works:
        work.let_go.set()
    await asyncio.gather(*tasks)


async def test_everybody_hears_of_the_fault() -> None:
    async def fail() -> Image:
        raise ImageFault("ErrImagePull", "no")

    found = await asyncio.gather(*(Pulls(1).join("k", fail) for _ in range(2)), return_exceptions=True)
    assert all(isinstance(fault, ImageFault) for fault in found)
    with pytest.raises(ImageFault):
        await Pulls(1).join("k", fail)
