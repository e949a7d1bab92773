"""Deadlines stay what they are when somebody sets the clock."""

from __future__ import annotations

import time

import pytest

from sampan.kubelet import plan, steady
from sampan.kubelet.backoff import Backoff
from sampan.kubelet.containerview import ContainerView
from sampan.kubelet.lifecycle import ContainerState
from sampan.kubelet.runtime.contract import ContainerSpec, Exit, Record


def test_it_is_near_the_walls_time() -> None:
    assert abs(steady.now_s() - time.time()) < 60


@pytest.mark.parametrize("step_s", [-3600, 3600])
def test_a_clock_that_is_set_moves_no_deadline(monkeypatch: pytest.MonkeyPatch, step_s: int) -> None:
    wall = time.time() + step_s
    monkeypatch.setattr(time, "time", lambda: wall)
    before = steady.now_s()
    spec = ContainerSpec("c1", "u1", "web", 0, (), (), {}, "/", "", (), "/log", "/cg")
    container = ContainerView({"name": "web"}, state=ContainerState.EXITED, backoff=Backoff(10, before))
    container.record = Record(spec, 1, wall, wall, Exit(1, wall))
    container.ended_s = steady.now_s()
    assert before + 10 <= plan.retry_due_s(container) < before + 3000
