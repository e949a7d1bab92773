from __future__ import annotations

import sys

import pytest

from sampan.api.streams import ContainerUsage
from sampan.kubelet.numbers.reading import ContainerReading, PodReading, Reading, host, usage
from sampan.kubelet.runtime.contract import Stats


def stats(cpu_ns: int, memory: int = 0) -> Stats:
    return Stats(cpu_ns, memory, memory, 1)


def reading(at_s: float, node: int, **cpu_ns: int) -> Reading:
    containers = {
        name: ContainerReading("u", name, 1, 90.0, stats(cpu, 1024)) for name, cpu in cpu_ns.items()
    }
    return Reading(at_s, stats(node, 4096), containers, {"u": PodReading("n", "web", "u", 90.0, stats(0))})


def test_rates_between_two_readings() -> None:
    found = usage(reading(100, 10**9, a=5 * 10**8), reading(110, 6 * 10**9, a=10**9, young=2 * 10**9))
    assert (found.cpu_nanocores, found.memory_bytes, found.window_s) == (5 * 10**8, 4096, 10)
    (pod,) = found.pods
    # The young one has lived for 20 s; it was not there before, so its whole life counts.
    assert pod.containers == [ContainerUsage("a", 5 * 10**7, 1024), ContainerUsage("young", 10**8, 1024)]
    assert (pod.namespace, pod.name, pod.window_s) == ("n", "web", 10)


def test_a_counter_that_went_back_is_no_negative_rate() -> None:
    assert usage(reading(1, 5, a=5), reading(2, 4, a=4)).cpu_nanocores == 0


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_this_machine_uses_something() -> None:
    found = host()
    assert found.cpu_ns > 0
    assert 0 < found.working_set_bytes < found.memory_limit_bytes
