"""A plan looks where something can have changed, and nowhere else."""

from __future__ import annotations

from sampan.api.objects import Obj
from sampan.controllers.endpointslice.layout import Layout, Narrowing
from sampan.controllers.slicewrites import Plan


def piece(name: str, revision: int, *uids: str, **metadata: str) -> Obj:
    return {
        "metadata": {"name": name, "resourceVersion": str(revision), **metadata},
        "endpoints": [{"addresses": ["ip"], "targetRef": {"uid": uid}} for uid in uids],
    }


def narrowing(untouched: str, suspects: str) -> Narrowing:
    return Narrowing(frozenset(untouched.split()), frozenset(f"{uid}/ip" for uid in suspects.split()))


A, B = piece("a", 1, "u", "v"), piece("b", 2, "w")


def looked() -> Layout:
    layout = Layout()
    assert layout.look([A, B], set()) is None
    return layout


def test_the_first_look_is_at_everything() -> None:
    assert Layout().look([], set()) is None
    assert looked().look([A, B], set()) == narrowing("a b", "")


def test_what_changed_and_its_neighbours_in_the_slice() -> None:
    assert looked().look([A, B], {"u/ip"}) == narrowing("b", "u v")
    assert looked().look([A, B], {"new/ip"}) == narrowing("a b", "new")


def test_a_slice_that_others_wrote_and_one_that_has_gone() -> None:
    assert looked().look([piece("a", 9, "u", "x"), B], set()) == narrowing("b", "u v x")
    assert looked().look([B], set()) == narrowing("b", "u v")
    going = piece("a", 1, "u", "v", deletionTimestamp="2026-01-01T00:00:00Z")
    assert looked().look([going, B], set()) == narrowing("b", "u v")


def test_who_appears_in_two_slices_makes_suspects_of_both() -> None:
    assert looked().look([A, B, piece("c", 3, "w")], set()) == narrowing("a", "w")


def test_what_was_written_is_looked_for_once() -> None:
    layout = looked()
    layout.note(Plan(create=(piece("", 0, "new"),), update=(piece("b", 2),)))
    assert layout.look([A], set()) == narrowing("a", "new w")
    layout.note(Plan())
    assert layout.look([A], set()) == narrowing("a", "")
