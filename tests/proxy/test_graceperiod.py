from __future__ import annotations

import asyncio
import threading

from sampan.proxy.graceperiod import GracePeriods, pass_one


async def test_one_that_has_begun_already_does_not_count() -> None:
    begun, may_end = threading.Semaphore(0), threading.Semaphore(0)

    def one() -> None:
        begun.release()
        may_end.acquire()

    periods = GracePeriods(one)
    first = asyncio.create_task(periods.wait())
    await asyncio.to_thread(begun.acquire)
    later = [asyncio.create_task(periods.wait()) for _ in range(50)]
    await asyncio.sleep(0)
    may_end.release()
    await first
    await asyncio.to_thread(begun.acquire)
    assert not any(task.done() for task in later)
    may_end.release()
    async with asyncio.timeout(30):
        await asyncio.gather(*later)
    assert not begun.acquire(blocking=False), "fifty that wait share one"


async def test_a_fault_leaves_the_next_one_to_the_others() -> None:
    faults = [OSError("no")]

    def one() -> None:
        if faults:
            raise faults.pop()

    periods = GracePeriods(one)
    first, second = await asyncio.gather(periods.wait(), periods.wait(), return_exceptions=True)
    assert isinstance(first, OSError) and second is None


def test_the_kernel_can_be_asked() -> None:
    pass_one()
