from __future__ import annotations

import asyncio
from typing import Any

import pytest

from sampan.kubelet.numbers import sampler
from sampan.kubelet.numbers.sampler import Sampler
from sampan.kubelet.runtime.contract import Stats
from sampan.kubelet.runtime.fake import FakeRuntime

NO_PODS: dict[str, Any] = {}


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampler, "QUICK_S", 0.01)


class Machine:
    """Spends one second of processor time between two looks, and says what the time is."""

    def __init__(self) -> None:
        self.looks, self.now_s = 0, 1000.0

    def __call__(self) -> Stats:
        self.looks += 1
        self.now_s += 2.0
        return Stats(self.looks * 10**9, 1, 1, 1)


def made() -> tuple[Sampler, Machine]:
    machine = Machine()
    return Sampler(FakeRuntime(), NO_PODS.get, host=machine, clock=lambda: machine.now_s), machine


async def test_who_comes_first_waits_for_two_readings() -> None:
    found, machine = made()
    assert (await found.usage()).cpu_nanocores > 0
    assert machine.looks == 2


async def test_who_comes_again_has_the_rate_since_then() -> None:
    found, machine = made()
    await found.usage()
    machine.now_s += 15
    assert (await found.usage()).window_s >= 15
    assert machine.looks == 3


async def test_who_comes_at_once_gets_the_same_answer() -> None:
    found, machine = made()
    first, second = await asyncio.gather(found.usage(), found.usage())
    assert first is second
    assert machine.looks == 2


async def test_what_is_old_says_nothing_of_now() -> None:
    found, machine = made()
    await found.usage()
    machine.now_s += 3600
    assert (await found.usage()).window_s < 15
    assert machine.looks == 4
