"""Slices that would go are written anew in place of those that would come."""

from __future__ import annotations

import pytest

from harness.world import World
from sampan.api.errors import StatusError, status_error
from sampan.api.objects import Obj, mutable
from sampan.api.resources import ENDPOINT_SLICES
from sampan.controllers.slicetracker import Tracker
from sampan.controllers.slicewrites import Plan, SliceWriter, generate_name, reused


def piece(name: str = "", kind: str = "IPv4", owner: str = "s", number: int = 1) -> Obj:
    metadata: Obj = {"labels": {"n": str(number)}, "ownerReferences": [{"uid": owner}]}
    metadata |= {"name": name, "resourceVersion": "7"} if name else {"generateName": "web-"}
    return {
        "metadata": metadata,
        "addressType": kind,
        "endpoints": [{"addresses": [str(number)]}],
        "ports": [{"port": number}],
    }


def test_a_write_instead_of_two() -> None:
    step = reused(Plan(create=(piece(number=2),), delete=(piece("old"), piece("older"))), "s")
    assert not step.create
    assert step.delete == (piece("older"),)
    (changed,) = step.update
    assert changed["metadata"]["name"] == "old"
    assert changed["metadata"]["resourceVersion"] == "7"
    assert changed["metadata"]["labels"] == {"n": "2"}
    assert (changed["endpoints"], changed["ports"]) == ([{"addresses": ["2"]}], [{"port": 2}])


def test_of_the_same_family_wherever_it_stands() -> None:
    given = Plan(
        create=(piece(kind="IPv6", number=6), piece(number=4)), delete=(piece("four"), piece("six", "IPv6"))
    )
    step = reused(given, "s")
    assert not step.create and not step.delete
    assert {each["metadata"]["name"]: each["ports"][0]["port"] for each in step.update} == {
        "six": 6,
        "four": 4,
    }


def test_never_one_of_another_family_or_owner() -> None:
    given = Plan(create=(piece(),), delete=(piece("six", "IPv6"), piece("theirs", owner="t")))
    assert reused(given, "s") == given


class Slices(World):
    def __init__(self) -> None:
        super().__init__()
        self.tracker = Tracker(self.informers.informer(ENDPOINT_SLICES), "test")
        self.writer = SliceWriter(self.client, self.tracker)


def refusal(*reasons: str) -> Exception:
    error = status_error(403, "Forbidden", "no")
    error.status["details"] = {"causes": [{"reason": reason} for reason in reasons]}
    return error


def new() -> Obj:
    made = piece()
    made["metadata"]["namespace"] = "default"
    return {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", **made}


async def test_what_was_written_is_seen_at_once() -> None:
    world = Slices()
    await world.writer.carry_out("default/web", Plan(create=(new(),)))
    (made,) = world.tracker.slices_of("default/web")
    changed = {**mutable(made), "endpoints": []}
    await world.writer.carry_out("default/web", Plan(update=(changed,)))
    assert world.tracker.slices_of("default/web")[0]["endpoints"] == []
    await world.writer.carry_out("default/web", Plan(delete=(changed,)))
    assert world.fake.objects(ENDPOINT_SLICES) == []
    await world.writer.carry_out("default/web", Plan(delete=(changed,)))  # gone already: as good


async def test_a_failed_write_is_not_believed() -> None:
    world = Slices()
    await world.writer.carry_out("default/web", Plan(create=(new(),)))
    world.fake.fail("create", "endpointslices", refusal())
    with pytest.raises(StatusError):
        await world.writer.carry_out("default/web", Plan(create=(new(),)))
    assert world.tracker.slices_of("default/web") == []


async def test_a_namespace_on_its_way_out_is_left_in_peace() -> None:
    world = Slices()
    world.fake.fail("create", "endpointslices", refusal("NamespaceTerminating"))
    await world.writer.carry_out("default/web", Plan(create=(new(),)))
    assert world.fake.objects(ENDPOINT_SLICES) == []


def test_names_stay_within_their_length() -> None:
    assert generate_name("web") == "web-"
    assert generate_name("w" * 253) == "w" * 253
