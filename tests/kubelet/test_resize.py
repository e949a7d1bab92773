"""Amounts asked for, allocated and given."""

from __future__ import annotations

from typing import Any

import pytest

from sampan.api.objects import Obj
from sampan.kubelet.resize import (
    Pending,
    amounts,
    differ,
    larger,
    needs_restart,
    reported,
    too_small,
    verdict,
    with_amounts,
)
from sampan.kubelet.runtime.contract import Resources

WHOLE = {"cpu": 2000, "memory": 1 << 30}


def pod(cpu: str, **metadata: Any) -> Obj:
    container = {"name": "c", "image": "i", "resources": {"requests": {"cpu": cpu}}}
    return {"metadata": metadata, "spec": {"containers": [container], "nodeName": "n"}}


def test_the_worker_sees_what_was_allocated() -> None:
    asked = pod("2")
    seen = with_amounts(asked, amounts(pod("1")))
    assert seen["spec"]["containers"][0]["resources"]["requests"] == {"cpu": "1"}
    assert seen["spec"]["nodeName"] == "n" and seen["spec"]["containers"][0]["image"] == "i"
    assert amounts(asked) == {"c": {"requests": {"cpu": "2"}}}, "the Pod itself is not touched"


def test_what_an_earlier_process_had_allocated() -> None:
    asked = pod("2")
    status = {"name": "c", "allocatedResources": {"cpu": "1"}, "resources": {"limits": {"cpu": "3"}}}
    asked["status"] = {"containerStatuses": [status]}
    assert reported(asked) == {"c": {"requests": {"cpu": "1"}, "limits": {"cpu": "3"}}}
    assert reported(pod("2")) == amounts(pod("2"))


@pytest.mark.parametrize(
    ("asked", "left", "expected"),
    [
        ("1500m", 2000, None),
        ("1500m", 1000, ("Deferred", "resource: cpu, requested: 1500, used: 1000, capacity: 2000")),
        ("3", 2000, ("Infeasible", "capacity: cpu, requested: 3000, capacity: 2000")),
    ],
)
def test_verdict(asked: str, left: int, expected: tuple[str, str] | None) -> None:
    found = verdict(pod(asked), {"cpu": left}, WHOLE)
    if expected is None:
        assert found is None
    else:
        assert found == Pending(expected[0], f"Node didn't have enough {expected[1]}")


def test_static_pods_stay_as_they_are() -> None:
    static = pod("1", annotations={"kubernetes.io/config.source": "file"})
    found = verdict(static, WHOLE, WHOLE)
    assert found is not None and found.reason == "Infeasible"


def test_what_differs_decides_whether_it_restarts() -> None:
    old, cpu, memory = Resources(), Resources(cpu_shares=9), Resources(memory_bytes=9)
    container = {"resizePolicy": [{"resourceName": "memory", "restartPolicy": "RestartContainer"}]}
    assert needs_restart(container, old, memory) and not needs_restart(container, old, cpu)
    assert not needs_restart({}, old, memory)
    assert differ(old, cpu) and differ(old, memory) and not differ(old, Resources(oom_score_adj=3, pids=7))


def test_on_the_way_both_fit() -> None:
    old, new = (
        Resources(cpu_shares=5, memory_bytes=10),
        Resources(cpu_shares=3, memory_bytes=20, cpu_quota_us=9),
    )
    between = larger(old, new)
    assert (between.cpu_shares, between.memory_bytes) == (5, 20)
    assert between.cpu_quota_us == 0, "none is wider than any"


def test_no_limit_below_what_is_in_use() -> None:
    assert too_small(0, 5, "pod") == too_small(5, 5, "pod") == ""
    assert too_small(4, 5, "pod") == "attempting to set pod memory limit (4) below current usage (5)"
