from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from sampan.api import errors
from sampan.api.objects import Obj
from sampan.api.resources import PODS
from sampan.client.client import Client
from sampan.client.controller import Controller
from sampan.client.errors import Unreachable
from sampan.client.fake import FakeTransport
from sampan.client.informer import Informer

pytestmark = pytest.mark.virtual_time


@asynccontextmanager
async def running(controller: Controller) -> AsyncIterator[None]:
    task = asyncio.create_task(controller.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()


async def test_no_two_workers_hold_one_key_and_different_keys_run_side_by_side() -> None:
    holding: list[str] = []
    most = 0
    runs = 0

    async def reconcile(key: str) -> None:
        nonlocal most, runs
        assert key not in holding
        holding.append(key)
        most = max(most, len(holding))
        runs += 1
        await asyncio.sleep(0.005)
        holding.remove(key)

    controller = Controller("test", reconcile, workers=3)
    async with running(controller):
        for _ in range(5):
            for key in "abcde":
                controller.enqueue(key)
            await asyncio.sleep(0.004)
        await asyncio.sleep(0.05)
    assert most == 3
    assert runs >= 10


@pytest.mark.parametrize(
    ("error", "logged"),
    [
        (errors.conflict(PODS, "a"), False),
        (errors.internal("oops"), True),
        (Unreachable("cut"), True),
        (ValueError("a bug"), True),
    ],
    ids=["conflict", "refusal", "unreachable", "bug"],
)
async def test_a_failure_is_tried_again(
    error: Exception, logged: bool, caplog: pytest.LogCaptureFixture
) -> None:
    attempts = 0
    succeeded = asyncio.Event()

    async def reconcile(key: str) -> None:
        nonlocal attempts
        attempts += 1
        if attempts < 4:
            raise error
        succeeded.set()

    controller = Controller("test", reconcile)
    controller.enqueue("a")
    with caplog.at_level(logging.INFO):
        async with running(controller), asyncio.timeout(30):
            await succeeded.wait()
            await asyncio.sleep(0)
            assert controller.queue.num_requeues("a") == 0
    assert (str(error) in caplog.text) == logged


async def test_a_number_asks_for_another_look() -> None:
    looks = asyncio.Queue[float]()

    async def reconcile(key: str) -> float | None:
        looks.put_nowait(asyncio.get_running_loop().time())
        return 0.03 if looks.qsize() < 2 else None

    controller = Controller("test", reconcile)
    controller.enqueue("a")
    async with running(controller):
        await asyncio.sleep(0.1)
    assert looks.qsize() == 2
    assert looks.get_nowait() + 0.02 < looks.get_nowait()


async def test_follow_enqueues_for_the_old_and_the_new_state() -> None:
    def pod(node: str) -> Obj:
        metadata = {"name": "a", "namespace": "default"}
        return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"nodeName": node}}

    async def reconcile(key: str) -> None:
        seen.append(key)

    seen: list[str] = []
    transport = FakeTransport(pod("n1"))
    informer = Informer(Client(transport), PODS)
    controller = Controller("test", reconcile, workers=1)
    controller.follow(informer, lambda pod: [pod["spec"]["nodeName"]])
    following = asyncio.create_task(informer.run())
    async with running(controller):
        await informer.wait_synced()
        await asyncio.sleep(0.01)
        assert seen == ["n1"]
        transport.add(pod("n2"))
        await asyncio.sleep(0.02)
        assert seen == ["n1", "n1", "n2"]
    following.cancel()
    await asyncio.wait([following])
