from __future__ import annotations

import asyncio
import threading

import pytest

from sampan.kubelet.runtime import oneshot


async def test_each_call_has_a_thread_of_its_own() -> None:
    threads = [await oneshot.call(threading.current_thread) for _ in range(2)]
    assert threads[0] is not threads[1] and threading.current_thread() not in threads


async def test_what_goes_wrong_there_is_told_here() -> None:
    def fail() -> None:
        raise OSError("no such namespace")

    with pytest.raises(OSError, match="no such namespace"):
        await oneshot.call(fail)


async def test_who_is_cancelled_waits_for_the_thread_all_the_same() -> None:
    begun, go, ended = threading.Event(), threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        go.wait(30)
        ended.set()

    task = asyncio.create_task(oneshot.call(work))
    await asyncio.to_thread(begun.wait, 30)
    task.cancel()
    await asyncio.sleep(0)
    assert not task.done()
    go.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended.is_set()
