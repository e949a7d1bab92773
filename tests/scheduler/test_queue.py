"""Who is tried next, and when again."""

from __future__ import annotations

import asyncio

import pytest

from sampan.api.objects import Obj, name_of
from sampan.scheduler import queue as queues
from sampan.scheduler.queue import SchedulingQueue


def pod(name: str, priority: int = 0) -> Obj:
    return {"metadata": {"name": name, "namespace": "default", "uid": name}, "spec": {"priority": priority}}


def made() -> SchedulingQueue:
    return SchedulingQueue(asyncio.get_running_loop().time)


async def names(queue: SchedulingQueue, count: int) -> list[str]:
    return [name_of((await asyncio.wait_for(queue.get(), 1)).pod) for _ in range(count)]


async def is_idle(queue: SchedulingQueue) -> bool:
    try:
        await asyncio.wait_for(queue.get(), 0.02)
    except TimeoutError:
        return True
    return False


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queues, "FIRST_BACKOFF_S", 0.05)


async def test_priority_then_arrival() -> None:
    queue = made()
    for each in (pod("a"), pod("b", 5), pod("c"), pod("d", 5)):
        queue.add(each)
    assert await names(queue, 4) == ["b", "d", "a", "c"]


async def test_who_fits_nowhere_sleeps_until_something_helps() -> None:
    queue = made()
    queue.add(pod("a"))
    assert await names(queue, 1) == ["a"]
    queue.failed(pod("a"), frozenset({"NodeAffinity"}))
    await asyncio.sleep(0.06)
    queue.wake(lambda entry: "NodeResourcesFit" in entry.blockers)
    assert await is_idle(queue)
    queue.wake(lambda entry: "NodeAffinity" in entry.blockers)
    assert await names(queue, 1) == ["a"]


async def test_a_wake_up_waits_for_the_back_off() -> None:
    queue = made()
    queue.add(pod("a"))
    await names(queue, 1)
    queue.failed(pod("a"), frozenset({"Nodes"}))
    queue.wake()
    assert await is_idle(queue)
    assert await names(queue, 1) == ["a"]


async def test_back_off_does_not_turn_priorities_round() -> None:
    """Room appears while the important Pod, which came last, still backs off."""
    queue = made()
    queue.add(pod("low", 1))
    await names(queue, 1)
    queue.failed(pod("low", 1), frozenset({"NodeResourcesFit"}))
    await asyncio.sleep(0.03)
    queue.add(pod("high", 9))
    await names(queue, 1)
    queue.failed(pod("high", 9), frozenset({"NodeResourcesFit"}))
    queue.wake()
    assert await names(queue, 2) == ["high", "low"]
    assert await is_idle(queue)


async def test_what_backs_off_again_and_again_leaves_no_trace() -> None:
    queue = made()
    queue.add(pod("a"))
    for _ in range(20):
        await names(queue, 1)
        queue.failed(pod("a"), frozenset({"Nodes"}))
        queue.wake()
        queue._backed_off("a")
    assert len(queue._late) <= 2


async def test_who_was_forgotten_overtakes_nobody() -> None:
    queue = made()
    queue.add(pod("high", 9))
    await names(queue, 1)
    queue.failed(pod("high", 9), frozenset({"Nodes"}))
    queue.wake()
    queue.forget("high")
    queue.add(pod("low"))
    assert await names(queue, 1) == ["low"]
    assert await is_idle(queue)


async def test_a_change_during_a_try_is_not_missed() -> None:
    queue = made()
    queue.add(pod("a"))
    await names(queue, 1)
    queue.wake()  # the node that would have fitted appears while "a" is being looked at
    queue.failed(pod("a"), frozenset({"Nodes"}))
    assert await names(queue, 1) == ["a"]


async def test_a_changed_pod_is_tried_again() -> None:
    queue = made()
    queue.add(pod("a"))
    await names(queue, 1)
    queue.failed(pod("a"), frozenset({"NodeAffinity"}))
    queue.add(pod("a", priority=3))
    entry = await asyncio.wait_for(queue.get(), 30)
    assert entry.pod["spec"]["priority"] == 3


async def test_the_forgotten_never_come_back() -> None:
    queue = made()
    queue.add(pod("waits"))
    await names(queue, 1)
    queue.failed(pod("waits"), frozenset({"Nodes"}))
    queue.add(pod("active"))
    queue.forget("active")
    queue.forget("waits")
    queue.wake()
    await asyncio.sleep(0.06)
    assert await is_idle(queue)
    assert len(queue) == 0
