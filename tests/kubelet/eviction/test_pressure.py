"""Thresholds over time."""

from __future__ import annotations

from sampan.kubelet.eviction.pressure import Pressure
from sampan.kubelet.eviction.signals import Observation
from sampan.kubelet.eviction.thresholds import Threshold

MEMORY = Threshold("memory.available", 100, minimum_reclaim=(50, 0.0))
SOFT = Threshold("memory.available", 200, grace_s=30)
DISK = Threshold("nodefs.available", percent=10)


def left(memory: int = 1000, disk: int = 1000) -> dict[str, Observation]:
    return {"memory.available": Observation(memory, 1000), "nodefs.available": Observation(disk, 1000)}


def test_a_hard_threshold_is_due_at_once_and_a_soft_one_after_its_grace() -> None:
    pressure = Pressure([MEMORY, SOFT], 300)
    pressure.look(left(150), 0)
    assert pressure.due(0) == [] and pressure.conditions(0) == {"MemoryPressure"}
    pressure.look(left(150), 30)
    assert pressure.due(30) == [SOFT]
    pressure.look(left(99), 31)
    assert pressure.due(31) == [MEMORY, SOFT]


def test_a_grace_period_begins_anew() -> None:
    pressure = Pressure([SOFT], 300)
    for second, memory in ((0, 150), (20, 250), (25, 150), (40, 150)):
        pressure.look(left(memory), second)
    assert pressure.due(40) == []


def test_what_was_met_stays_so_until_enough_has_come_back() -> None:
    pressure = Pressure([MEMORY], 300)
    for memory, met in ((120, []), (90, [MEMORY]), (120, [MEMORY]), (150, []), (120, [])):
        pressure.look(left(memory), 0)
        assert pressure.met == met


def test_a_condition_does_not_flutter() -> None:
    pressure = Pressure([MEMORY], 300)
    pressure.look(left(90), 0)
    pressure.look(left(500), 10)
    assert pressure.conditions(299) == {"MemoryPressure"}
    assert pressure.conditions(300) == frozenset()


def test_memory_comes_first_and_what_has_no_meaning_never() -> None:
    pressure = Pressure([DISK, MEMORY], 0)
    pressure.look(left(1, 1), 0)
    assert pressure.due(0) == [MEMORY, DISK]
    pressure.look({"nodefs.available": Observation(0, 0)}, 1)
    assert pressure.due(1) == []
