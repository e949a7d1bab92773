"""Who depends on whom, whatever the order in which it is heard of."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan.api.objects import Obj
from sampan.api.resources import PODS
from sampan.controllers.garbagecollector.graph import (
    Graph,
    Item,
    Owner,
    Phase,
    Verdict,
    item_of,
    judge,
    phase_of,
)

DELETED = {"deletionTimestamp": "2026-01-01T00:00:00Z"}
UIDS = st.sampled_from("abcd")


def owner(uid: str, blocks: bool = True) -> Owner:
    return Owner(uid, "v1", "Pod", uid, blocks)


def item(uid: str, *owners: Owner, phase: Phase = Phase.LIVES) -> Item:
    return Item(uid, PODS, "default", uid, owners, phase)


@pytest.mark.parametrize(
    ("metadata", "phase"),
    [
        ({}, Phase.LIVES),
        ({"finalizers": ["foregroundDeletion"]}, Phase.LIVES),
        (DELETED, Phase.GOES),
        ({**DELETED, "finalizers": ["example.com/hold"]}, Phase.GOES),
        ({**DELETED, "finalizers": ["foregroundDeletion"]}, Phase.WAITS),
        ({**DELETED, "finalizers": ["orphan"]}, Phase.ORPHANS),
    ],
)
def test_phases(metadata: Obj, phase: Phase) -> None:
    assert phase_of({"metadata": metadata}) is phase


def test_an_item_is_what_dependents_care_about() -> None:
    references = [
        {
            "uid": "rs",
            "apiVersion": "apps/v1",
            "kind": "ReplicaSet",
            "name": "web",
            "blockOwnerDeletion": True,
        },
        {"uid": "x", "apiVersion": "v1", "kind": "Node", "name": "n"},
    ]
    obj = {"metadata": {"name": "p", "namespace": "ns", "uid": "u", "ownerReferences": references}}
    assert item_of(PODS, obj) == Item(
        "u",
        PODS,
        "ns",
        "p",
        (Owner("rs", "apps/v1", "ReplicaSet", "web", True), Owner("x", "v1", "Node", "n", False)),
        Phase.LIVES,
    )


def test_only_what_blocks_is_waited_for() -> None:
    graph = Graph()
    blocks, free = item("b", owner("a")), item("c", owner("a", blocks=False), owner("d"))
    for each in (blocks, free):
        graph.put(each)
    assert {each.uid for each in graph.dependents("a")} == {"b", "c"}
    assert graph.blocking("a") == [blocks]
    assert graph.blocking("d") == [free]


def test_what_says_nothing_new_is_no_change() -> None:
    graph = Graph()
    assert not graph.put(item("x"))
    assert graph.put(item("x", owner("a")))
    assert not graph.put(item("x", owner("a")))
    assert graph.put(item("x"))
    assert not graph.put(item("x"))


def test_a_lone_object_is_kept_only_while_it_waits_for_others() -> None:
    graph = Graph()
    for phase, kept in ((Phase.LIVES, 0), (Phase.WAITS, 1), (Phase.ORPHANS, 1), (Phase.GOES, 0)):
        graph.put(item("x", phase=phase))
        assert len(graph) == kept


ITEMS = st.builds(
    lambda uid, owners, phase: item(uid, *map(owner, owners), phase=phase),
    UIDS,
    st.lists(UIDS, max_size=2, unique=True),
    st.sampled_from(Phase),
)


@given(st.lists(ITEMS | UIDS, max_size=12))
def test_the_graph_is_what_was_said_last_and_forgets_the_rest(steps: list[Item | str]) -> None:
    graph, last = Graph(), dict[str, Item]()
    for step in steps:
        if isinstance(step, str):
            removed = graph.remove(step)
            assert removed == last.pop(step, None)
            continue
        graph.put(step)
        if step.owners or step.phase in (Phase.WAITS, Phase.ORPHANS):
            last[step.uid] = step
        else:
            last.pop(step.uid, None)
    assert len(graph) == len(last)
    for uid in "abcd":
        assert graph.get(uid) == last.get(uid)
        expected = {each.uid for each in last.values() if uid in {of.uid for of in each.owners}}
        assert {each.uid for each in graph.dependents(uid)} == expected


@pytest.mark.parametrize(
    ("phases", "has_dependents", "verdict", "loose"),
    [
        ({"a": Phase.LIVES}, False, Verdict.KEEP, set()),
        ({"a": None}, False, Verdict.DELETE, {"a"}),
        ({"a": None}, True, Verdict.DELETE, {"a"}),
        ({"a": None, "b": Phase.LIVES}, False, Verdict.CUT, {"a"}),
        ({"a": Phase.WAITS, "b": Phase.LIVES}, True, Verdict.CUT, {"a"}),
        ({"a": Phase.WAITS}, False, Verdict.DELETE, {"a"}),
        ({"a": Phase.WAITS, "b": None}, True, Verdict.DELETE_FOREGROUND, {"a", "b"}),
        ({"a": Phase.GOES}, False, Verdict.KEEP, set()),
        ({}, False, Verdict.KEEP, set()),
    ],
)
def test_verdicts(
    phases: dict[str, Phase | None], has_dependents: bool, verdict: Verdict, loose: set[str]
) -> None:
    owners = [(owner(name), phase) for name, phase in phases.items()]
    assert judge(owners, has_dependents) == (verdict, loose)
