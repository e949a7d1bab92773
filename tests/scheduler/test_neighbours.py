"""Rules between Pods: of which namespaces a term speaks, what a domain is, how even is even."""

from __future__ import annotations

from typing import Any

import pytest

from sampan.api.objects import Obj
from sampan.scheduler.facts import NodeInfo, PodFacts, pod_facts
from sampan.scheduler.neighbours import (
    PREFERRED,
    REQUIRED,
    Spread,
    neighbours,
    spreads,
    term_of,
    weighted_terms,
)

NAMESPACES = {"one": {"team": "a"}, "two": {"team": "b"}}
WEB = {"matchLabels": {"app": "web"}}


def pod(name: str = "p", ns: str = "one", app: str = "web", **spec: Any) -> PodFacts:
    deleting = {"deletionTimestamp": "2026-01-01T00:00:00Z"} if spec.pop("deleting", False) else {}
    labels = {"app": app, "version": spec.pop("version", "1")}
    metadata = {"name": name, "namespace": ns, "uid": name, "labels": labels, **deleting}
    return pod_facts({"metadata": metadata, "spec": {"containers": [], **spec}})


def node(zone: str, *pods: PodFacts, **more: Any) -> NodeInfo:
    labels = {"zone": zone} if zone else {}
    info = NodeInfo({"metadata": {"name": f"n-{zone}", "labels": labels}, "spec": more})
    for each in pods:
        info.add(each)
    return info


def term(key: str = "zone", selector: Obj | None = WEB, **more: Any) -> Obj:
    return {"topologyKey": key, "labelSelector": selector, **more}


def wants(kind: str, *listed: Obj) -> Obj:
    return {kind: {REQUIRED: list(listed)}}


@pytest.mark.parametrize(
    ("more", "namespaces"),
    [
        ({}, {"one"}),
        ({"namespaces": ["two"]}, {"two"}),
        ({"namespaceSelector": {"matchLabels": {"team": "b"}}}, {"two"}),
        ({"namespaces": ["one"], "namespaceSelector": {"matchLabels": {"team": "b"}}}, {"one", "two"}),
        ({"namespaceSelector": {"matchLabels": {"team": "c"}}}, set()),
        ({"namespaceSelector": {}}, None),
        ({"namespaces": [], "namespaceSelector": None}, {"one"}),
    ],
)
def test_namespaces_of_a_term(more: Obj, namespaces: set[str] | None) -> None:
    found = term_of(pod(), term(**more), NAMESPACES)
    assert found.namespaces == namespaces
    for ns in ("one", "two"):
        assert found.matches(pod(ns=ns)) is (namespaces is None or ns in namespaces)


@pytest.mark.parametrize(
    ("more", "version", "matches"),
    [
        ({"matchLabelKeys": ["version"]}, "1", True),
        ({"matchLabelKeys": ["version"]}, "2", False),
        ({"mismatchLabelKeys": ["version"]}, "1", False),
        ({"mismatchLabelKeys": ["version"]}, "2", True),
        ({"matchLabelKeys": ["unknown"]}, "2", True),
        ({"selector": None, "matchLabelKeys": ["version"]}, "1", False),
    ],
)
def test_label_keys_compare_with_the_pods_own_labels(more: Obj, version: str, matches: bool) -> None:
    assert term_of(pod(), term(**more), NAMESPACES).matches(pod("o", version=version)) is matches


def test_preferred_terms_come_with_their_weight() -> None:
    preferred = [{"weight": 7, "podAffinityTerm": term("rack")}]
    found = weighted_terms(pod(affinity={"podAffinity": {PREFERRED: preferred}}), "podAffinity", NAMESPACES)
    assert [(weight, each.topology_key) for weight, each in found] == [(7, "rack")]


def test_a_pod_is_near_only_where_it_matches_all_terms() -> None:
    both = term(), term(selector={"matchLabels": {"version": "2"}})
    wanted = pod(affinity=wants("podAffinity", *both))
    nodes = [node("a", pod("v1")), node("b", pod("v2", version="2")), node("", pod("nowhere", version="2"))]
    found = neighbours(wanted, nodes, NAMESPACES)
    assert [dict(found.near[number]) for number in (0, 1)] == [{("zone", "b"): 1}] * 2
    assert not found.alone


@pytest.mark.parametrize(
    ("own_app", "other_app", "alone"), [("web", "db", True), ("web", "web", False), ("db", "db", False)]
)
def test_the_first_of_a_group_goes_anywhere(own_app: str, other_app: str, alone: bool) -> None:
    wanted = pod(app=own_app, affinity=wants("podAffinity", term()))
    assert neighbours(wanted, [node("a", pod("o", app=other_app))], NAMESPACES).alone is alone


def test_anti_affinity_holds_both_ways_and_for_whole_domains() -> None:
    avoids = wants("podAntiAffinity", term())
    nodes = [node("a", pod("calm")), node("b", pod("shy", app="db", affinity=avoids)), node("c")]
    found = neighbours(pod(affinity=avoids), nodes, NAMESPACES)
    assert (found.crowded, found.forbidden) == ({("zone", "a")}, {("zone", "b")})
    assert neighbours(pod(app="x"), nodes, NAMESPACES).is_empty
    assert not neighbours(pod(), nodes, NAMESPACES).is_empty


@pytest.mark.parametrize(
    ("counts", "min_domains", "least"),
    [({}, 1, 0), ({"a": 3, "b": 1}, 1, 1), ({"a": 3, "b": 1}, 2, 1), ({"a": 3, "b": 1}, 3, 0)],
)
def test_with_fewer_domains_than_asked_for_the_least_is_zero(
    counts: dict[str, int], min_domains: int, least: int
) -> None:
    assert Spread("zone", 1, counts, min_domains, True).least == least


def constraint(**more: Any) -> Obj:
    base = {"topologyKey": "zone", "maxSkew": 1, "whenUnsatisfiable": "DoNotSchedule", "labelSelector": WEB}
    return base | more


def counted(nodes: list[NodeInfo], constraint: Obj, **spec: Any) -> dict[str, int]:
    (found,) = spreads(pod(topologySpreadConstraints=[constraint], **spec), nodes)
    return dict(found.counts)


def test_matching_pods_of_the_own_namespace_are_counted_by_domain() -> None:
    nodes = [
        node("a", pod("1"), pod("2"), pod("else", ns="two")),
        node("a", pod("3"), pod("db", app="db")),
        node("b"),
        node("", pod("outside")),
    ]
    assert counted(nodes, constraint()) == {"a": 3, "b": 0}


def test_who_is_on_its_way_out_does_not_count() -> None:
    assert counted([node("a", pod("stays"), pod("goes", deleting=True))], constraint()) == {"a": 1}


def test_nodes_the_pod_cannot_have_count_by_policy() -> None:
    taint = {"key": "k", "value": "", "effect": "NoSchedule"}
    nodes = [node("a", pod("1")), node("b", pod("2"), taints=[taint])]
    assert counted(nodes, constraint(), nodeSelector={"zone": "b"}) == {"b": 1}
    ignoring = constraint(nodeAffinityPolicy="Ignore")
    assert counted(nodes, ignoring, nodeSelector={"zone": "b"}) == {"a": 1, "b": 1}
    assert counted(nodes, constraint(nodeTaintsPolicy="Honor")) == {"a": 1}
    tolerant = [{"operator": "Exists"}]
    assert counted(nodes, constraint(nodeTaintsPolicy="Honor"), tolerations=tolerant) == {"a": 1, "b": 1}


def test_constraints_are_taken_by_what_happens_when_they_cannot_be_kept() -> None:
    listed = [constraint(), constraint(whenUnsatisfiable="ScheduleAnyway", maxSkew=3, minDomains=2)]
    (soft,) = spreads(pod(app="db", topologySpreadConstraints=listed), [], "ScheduleAnyway")
    assert soft == Spread("zone", 3, {}, 2, False)


def test_a_node_that_lacks_one_of_the_keys_is_in_no_domain() -> None:
    listed = [constraint(), constraint(topologyKey="rack")]
    found = spreads(pod(topologySpreadConstraints=listed), [node("a", pod("1"))])
    assert [dict(each.counts) for each in found] == [{}, {}]
