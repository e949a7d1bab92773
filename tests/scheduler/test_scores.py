"""Which node wins."""

from __future__ import annotations

from typing import Any

import pytest

from sampan.api.objects import Obj
from sampan.scheduler.facts import NodeInfo, pod_facts
from sampan.scheduler.scores import balanced, best, least_allocated, preferred_nodes, spread, tolerated

PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"


def info(name: str, cpu: str = "4", memory: str = "4Gi", **spec: Any) -> NodeInfo:
    labels = {"kubernetes.io/hostname": name, **spec.pop("labels", {})}
    return NodeInfo(
        {
            "metadata": {"name": name, "labels": labels},
            "spec": spec,
            "status": {"allocatable": {"cpu": cpu, "memory": memory, "pods": "110"}},
        }
    )


def pod(name: str = "p", cpu: str = "1", memory: str = "1Gi", owner: str = "", **spec: Any) -> Obj:
    metadata: Obj = {"name": name, "namespace": "default", "uid": name}
    if owner:
        metadata["ownerReferences"] = [{"uid": owner, "controller": True}]
    container = {"name": "c", "image": "i", "resources": {"requests": {"cpu": cpu, "memory": memory}}}
    return {"metadata": metadata, "spec": {"containers": [container], **spec}}


def test_the_emptier_node_wins() -> None:
    full, empty = info("a"), info("b")
    full.add(pod_facts(pod("other")))
    assert least_allocated(pod_facts(pod()), [full, empty], {}) == [50.0, 75.0]
    assert best(pod_facts(pod()), [full, empty], {}).name == "b"


def test_the_node_that_is_used_evenly_wins() -> None:
    even, uneven = info("a", "4", "4Gi"), info("b", "4", "40Gi")
    points = balanced(pod_facts(pod(cpu="2", memory="2Gi")), [even, uneven], {})
    assert points[0] == 100
    assert points[1] < 80


def test_a_soft_taint_is_avoided() -> None:
    taint = {"key": "k", "value": "", "effect": "PreferNoSchedule"}
    nodes = [info("a", taints=[taint]), info("b")]
    assert tolerated(pod_facts(pod()), nodes, {}) == [0, 100]
    assert best(pod_facts(pod()), nodes, {}).name == "b"
    assert tolerated(pod_facts(pod(tolerations=[{"operator": "Exists"}])), nodes, {}) == [100, 100]


def test_preferred_node_affinity() -> None:
    term = {"matchExpressions": [{"key": "disk", "operator": "In", "values": ["ssd"]}]}
    wanted = pod(affinity={"nodeAffinity": {PREFERRED: [{"weight": 10, "preference": term}]}})
    nodes = [info("a"), info("b", labels={"disk": "ssd"})]
    assert preferred_nodes(pod_facts(wanted), nodes, {}) == [0, 100]


def test_replicas_of_one_owner_go_apart() -> None:
    nodes = [info("a"), info("b")]
    nodes[0].add(pod_facts(pod("sibling", owner="rs")))
    nodes[1].add(pod_facts(pod("stranger")))
    assert spread(pod_facts(pod(owner="rs")), nodes, {}) == [0, 100]


@pytest.mark.parametrize("order", [["b", "a"], ["a", "b"]])
def test_equals_go_by_name(order: list[str]) -> None:
    assert best(pod_facts(pod()), [info(name) for name in order], {}).name == "a"
