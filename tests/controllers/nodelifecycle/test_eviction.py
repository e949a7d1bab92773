"""When a Pod has to leave a tainted node."""

from __future__ import annotations

from typing import Any

import pytest

from sampan.api.clock import format_time
from sampan.api.objects import Obj
from sampan.controllers.nodelifecycle.eviction import leaves_at

NOW = 1767323045.0
SET_S = NOW - 100


def taint(key: str = "k", value: str = "", effect: str = "NoExecute") -> Obj:
    return {"key": key, "value": value, "effect": effect, "timeAdded": format_time(SET_S)}


def exists(key: str = "", effect: str = "", seconds: int | None = None) -> Obj:
    return {"operator": "Exists", "key": key, "effect": effect, "tolerationSeconds": seconds}


def equal(key: str, value: str, **more: Any) -> Obj:
    return {"key": key, "value": value, **more}


@pytest.mark.parametrize(
    ("taints", "tolerations", "at_s"),
    [
        ([], [], None),
        ([taint(effect="NoSchedule")], [], None),
        ([taint()], [], NOW),
        ([taint()], [exists()], None),
        ([taint()], [exists("k")], None),
        ([taint()], [exists("other")], NOW),
        ([taint()], [exists("k", "NoSchedule")], NOW),
        ([taint(value="v")], [equal("k", "v")], None),
        ([taint(value="v")], [equal("k", "w")], NOW),
        ([taint()], [equal("k", "")], None),
        ([taint(value="")], [{"value": ""}], NOW),
        ([taint()], [exists("k", seconds=300)], SET_S + 300),
        ([taint()], [exists("k", seconds=0)], SET_S),
        ([taint()], [exists("k", seconds=-5)], SET_S),
        ([taint()], [exists("k", seconds=300), exists(seconds=200)], SET_S + 200),
        ([taint()], [exists("k", seconds=300), exists("k")], SET_S + 300),
        ([taint(), taint("l")], [exists("k", seconds=300), exists("l", seconds=200)], SET_S + 200),
        ([taint(), taint("l")], [exists("k", seconds=300)], NOW),
        ([taint(), taint("l")], [exists("k"), exists("l", seconds=200)], SET_S + 200),
    ],
)
def test_the_shortest_toleration_counts_from_when_the_taint_was_set(
    taints: list[Obj], tolerations: list[Obj], at_s: float | None
) -> None:
    assert leaves_at({"spec": {"tolerations": tolerations}}, taints, NOW) == at_s


def test_the_time_of_a_pod_that_came_later_counts_from_then() -> None:
    bound = {"type": "PodScheduled", "status": "True", "lastTransitionTime": format_time(SET_S + 50)}
    pod = {"spec": {"tolerations": [exists("k", seconds=300)]}, "status": {"conditions": [bound]}}
    assert leaves_at(pod, [taint()], NOW) == SET_S + 350


def test_a_taint_without_a_time_counts_from_when_they_met() -> None:
    untimed = {"key": "k", "effect": "NoExecute"}
    assert leaves_at({"spec": {"tolerations": [exists(seconds=7)]}}, [untimed], NOW) == NOW + 7
