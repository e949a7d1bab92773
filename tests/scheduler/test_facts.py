"""What is read of Pods and nodes, and that sums come back to nothing when all Pods have gone."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan.api.objects import Obj
from sampan.api.podspec import toleration_matches
from sampan.scheduler.facts import (
    DEFAULT_CPU,
    DEFAULT_MEMORY,
    HostPort,
    NodeInfo,
    PodFacts,
    pod_facts,
    tolerates,
)

NODE: Obj = {"metadata": {"name": "n1"}, "status": {"allocatable": {"cpu": "1500m", "memory": "1Gi"}}}


def pod(uid: str = "u", *requests: dict[str, str], **spec: Any) -> Obj:
    containers = [{"name": f"c{n}", "resources": {"requests": each}} for n, each in enumerate(requests)]
    metadata = {"name": "p", "namespace": "ns", "uid": uid}
    return {"metadata": metadata, "spec": {"containers": containers, **spec}}


@pytest.mark.parametrize(
    ("one", "other", "clash"),
    [
        (("0.0.0.0", "TCP", 80), ("0.0.0.0", "TCP", 80), True),
        (("10.0.0.1", "TCP", 80), ("0.0.0.0", "TCP", 80), True),
        (("10.0.0.1", "TCP", 80), ("10.0.0.1", "TCP", 80), True),
        (("10.0.0.1", "TCP", 80), ("10.0.0.2", "TCP", 80), False),
        (("0.0.0.0", "UDP", 80), ("0.0.0.0", "TCP", 80), False),
        (("0.0.0.0", "TCP", 81), ("0.0.0.0", "TCP", 80), False),
    ],
)
def test_host_ports_clash_where_one_address_would_serve_both(
    one: tuple[str, str, int], other: tuple[str, str, int], clash: bool
) -> None:
    assert HostPort(*one).clashes(HostPort(*other)) is clash
    assert HostPort(*other).clashes(HostPort(*one)) is clash


def test_facts_of_a_pod() -> None:
    ports = [
        {"containerPort": 1},
        {"hostPort": 80},
        {"hostPort": 53, "protocol": "UDP", "hostIP": "10.0.0.1"},
    ]
    obj = pod("u", {"cpu": "250m", "memory": "64Mi"}, {}, priority=7)
    obj["spec"]["containers"][0]["ports"] = ports
    obj["metadata"]["ownerReferences"] = [{"uid": "other"}, {"uid": "rs", "controller": True}]
    found = pod_facts(obj)
    assert (found.key, found.uid, found.namespace, found.priority, found.owner) == (
        "ns/p",
        "u",
        "ns",
        7,
        "rs",
    )
    assert found.requests == {"cpu": 250, "memory": 64 * 2**20}
    # A container that asks for nothing counts in scores, or all such Pods would land on one node.
    assert found.scored == (250 + DEFAULT_CPU, 64 * 2**20 + DEFAULT_MEMORY)
    assert found.host_ports == (HostPort("0.0.0.0", "TCP", 80), HostPort("10.0.0.1", "UDP", 53))
    assert (found.affinity, found.terminating) == ({}, False)


def test_a_pod_of_nobody_has_no_owner_and_no_priority() -> None:
    found = pod_facts(pod())
    assert (found.owner, found.priority) == ("", 0)


AMOUNTS = st.sampled_from(({}, {"cpu": "100m"}, {"cpu": "2", "memory": "1Gi"}, {"example.com/gpu": "1"}))
STEPS = st.lists(st.tuples(st.sampled_from("abc"), st.none() | AMOUNTS), max_size=12)


@given(STEPS)
def test_a_nodes_sums_are_those_of_its_pods(steps: list[tuple[str, dict[str, str] | None]]) -> None:
    info, there = NodeInfo(NODE), dict[str, PodFacts]()
    for uid, asked in steps:
        if asked is None:
            assert info.remove(uid) is (there.pop(uid, None) is not None)
        else:
            there[uid] = pod_facts(pod(uid, asked))
            info.add(there[uid])
    assert info.pods == there
    names = {name for facts in there.values() for name in facts.requests}
    assert info.requested == {
        name: total for name in names if (total := sum(f.requests.get(name, 0) for f in there.values()))
    }
    assert info.scored == tuple(sum(facts.scored[part] for facts in there.values()) for part in (0, 1))


def test_a_node_says_what_it_has_to_give() -> None:
    info = NodeInfo(NODE)
    assert (info.name, info.allocatable) == ("n1", {"cpu": 1500, "memory": 2**30})
    assert (info.labels, info.taints, info.unschedulable) == ({}, [], False)
    info.update({"metadata": {"name": "n1"}, "status": {"capacity": {"cpu": "4"}}})
    assert info.allocatable == {"cpu": 4000}
    taint = {"key": "k", "effect": "NoSchedule"}
    info.update({"metadata": {"name": "n1"}, "spec": {"unschedulable": True, "taints": [taint]}})
    assert (info.allocatable, info.taints, info.unschedulable) == ({}, [taint], True)


TAINT = {"key": "k", "value": "v", "effect": "NoSchedule"}


@pytest.mark.parametrize(
    ("toleration", "matches"),
    [
        ({"operator": "Exists"}, True),
        ({"operator": "Exists", "key": "k"}, True),
        ({"operator": "Exists", "key": "l"}, False),
        ({"operator": "Exists", "effect": "NoSchedule"}, True),
        ({"operator": "Exists", "effect": "NoExecute"}, False),
        ({"key": "k", "value": "v"}, True),
        ({"key": "k", "operator": "Equal", "value": "v", "effect": "NoSchedule"}, True),
        ({"key": "k", "value": "w"}, False),
        ({"key": "k"}, False),
        ({"value": "v"}, False),
    ],
)
def test_tolerations(toleration: Obj, matches: bool) -> None:
    assert toleration_matches(toleration, TAINT) is matches
    assert tolerates({"tolerations": [{"key": "x", "value": "x"}, toleration]}, TAINT) is matches


def test_a_taint_without_value_equals_a_toleration_without() -> None:
    assert toleration_matches({"key": "k"}, {"key": "k", "effect": "NoSchedule"})
    assert not tolerates({}, TAINT)


def test_what_a_pod_asks_for_as_a_whole_counts_in_scores_as_well() -> None:
    whole = pod("u", {}, {}, resources={"requests": {"cpu": "1"}})
    assert pod_facts(whole).scored == (1000, 2 * DEFAULT_MEMORY)
    assert pod_facts(whole).requests == {"cpu": 1000}
