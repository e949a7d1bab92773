"""Who makes room for what the node needs."""

from __future__ import annotations

from sampan.api.objects import Obj
from sampan.kubelet.preemption import victims


def pod(name: str, cpu: str = "", priority: int = 0) -> Obj:
    requests = {"requests": {"cpu": cpu}} if cpu else {}
    return {
        "metadata": {"name": name},
        "spec": {"containers": [{"name": "c", "resources": requests}], "priority": priority},
    }


CRITICAL = pod("critical", "1", 2_000_000_000)


def names(found: list[Obj]) -> str:
    return "".join(each["metadata"]["name"] for each in found)


def test_those_that_matter_least_and_no_more_than_needed() -> None:
    others = [pod("a", "100m"), pod("b", "1"), pod("c", "2", priority=9), pod("d")]
    assert names(victims(CRITICAL, others, {"cpu": 1000})) == "b"
    assert names(victims(CRITICAL, others, {"cpu": 1050})) == "ab"
    assert names(victims(CRITICAL, others, {"pods": 1})) == "d"


def test_nobody_goes_in_vain_or_for_just_anybody() -> None:
    assert victims(CRITICAL, [pod("a", "100m")], {"cpu": 1000}) == []
    assert victims(pod("x", "1"), [pod("a", "1")], {"cpu": 1000}) == []
    assert victims(CRITICAL, [pod("a", "1", 2_000_000_000)], {"cpu": 1000}) == []
