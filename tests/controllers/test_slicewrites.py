"""Slices that would go are written anew in place of those that would come."""

from __future__ import annotations

from sampan.api.objects import Obj
from sampan.controllers.slicewrites import Plan, generate_name, reused


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


def test_names_stay_within_their_length() -> None:
    assert generate_name("web") == "web-"
    assert generate_name("w" * 253) == "w" * 253
