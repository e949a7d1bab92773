from __future__ import annotations

import asyncio

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from sampan.client.workqueue import ShutDown, WorkQueue

pytestmark = pytest.mark.virtual_time


async def take(queue: WorkQueue[str]) -> str:
    async with asyncio.timeout(30):
        return await queue.get()


async def test_a_key_added_twice_is_handed_out_once() -> None:
    queue: WorkQueue[str] = WorkQueue()
    for key in ("a", "b", "a"):
        queue.add(key)
    assert [await take(queue), await take(queue)] == ["a", "b"]
    assert len(queue) == 0


async def test_a_key_added_while_in_work_comes_again_after_done() -> None:
    queue: WorkQueue[str] = WorkQueue()
    queue.add("a")
    await take(queue)
    queue.add("a")
    queue.add("a")
    assert len(queue) == 0
    queue.done("a")
    assert await take(queue) == "a"
    queue.done("a")
    assert len(queue) == 0


async def test_workers_asleep_are_woken_one_per_key() -> None:
    queue: WorkQueue[str] = WorkQueue()
    workers = [asyncio.create_task(take(queue)) for _ in range(3)]
    await asyncio.sleep(0)
    queue.add("a")
    queue.add("b")
    await asyncio.wait(workers, timeout=0.05)
    assert sorted(worker.result() for worker in workers if worker.done()) == ["a", "b"]
    for worker in workers:
        worker.cancel()
    await asyncio.wait(workers)


async def test_a_key_is_not_lost_with_the_worker_that_was_woken_for_it() -> None:
    queue: WorkQueue[str] = WorkQueue()
    leaving, staying = asyncio.create_task(take(queue)), asyncio.create_task(take(queue))
    await asyncio.sleep(0)
    queue.add("a")
    leaving.cancel()
    assert await staying == "a"


async def test_a_delayed_key_comes_at_the_earliest_time_asked_for() -> None:
    queue: WorkQueue[str] = WorkQueue()
    queue.add_after("a", 5)
    queue.add_after("a", 0.02)
    queue.add_after("a", 3)
    start = asyncio.get_running_loop().time()
    assert await take(queue) == "a"
    assert 0.015 < asyncio.get_running_loop().time() - start < 0.5
    queue.done("a")
    await asyncio.sleep(0.03)
    assert len(queue) == 0


async def test_rate_limits_double_until_forgotten() -> None:
    queue: WorkQueue[str] = WorkQueue(first_delay_s=0.01, longest_delay_s=0.05)
    delays = [queue._next_delay_s("a") for _ in range(5)]
    assert delays == [0.01, 0.02, 0.04, 0.05, 0.05]
    assert queue.num_requeues("a") == 5
    queue.forget("a")
    assert queue.num_requeues("a") == 0
    queue.add_rate_limited("a")
    assert queue.num_requeues("a") == 1
    assert await take(queue) == "a"
    for _ in range(3000):
        assert queue._next_delay_s("b") <= 0.05


async def test_shut_down_hands_out_what_is_there_and_then_refuses() -> None:
    queue: WorkQueue[str] = WorkQueue()
    asleep = asyncio.create_task(WorkQueue.get(queue))
    await asyncio.sleep(0)
    queue.add("a")
    queue.add("b")
    queue.add_after("c", 0.01)
    queue.shut_down()
    queue.add("d")
    assert {await asleep, await take(queue)} == {"a", "b"}
    with pytest.raises(ShutDown):
        await take(queue)


class WorkQueueMachine(RuleBasedStateMachine):
    """`wanted`: keys that somebody must still look at; `held`: keys in work; `again`: both."""

    keys = st.sampled_from("abcde")

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.queue: WorkQueue[str] = WorkQueue()
        self.wanted: set[str] = set()
        self.held: set[str] = set()

    def teardown(self) -> None:
        self.loop.close()

    @rule(key=keys)
    def add(self, key: str) -> None:
        self.queue.add(key)
        self.wanted.add(key)

    @precondition(lambda self: self.wanted - self.held)
    @rule()
    def get(self) -> None:
        key = self.loop.run_until_complete(self.queue.get())
        assert key in self.wanted
        assert key not in self.held
        self.wanted.remove(key)
        self.held.add(key)

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def done(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(self.held)))
        self.queue.done(key)
        self.held.remove(key)

    @invariant()
    def what_waits_is_what_is_wanted_and_not_in_work(self) -> None:
        queue = self.queue
        assert len(queue) == len(self.wanted - self.held)
        assert sorted(queue._queue) == sorted(set(queue._queue))
        assert set(queue._queue) == queue._dirty - queue._processing
        assert (queue._dirty, queue._processing) == (self.wanted, self.held)


TestWorkQueueMachine = WorkQueueMachine.TestCase
TestWorkQueueMachine.settings = settings(max_examples=50, stateful_step_count=40, deadline=None)
