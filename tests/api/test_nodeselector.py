"""Requirements on labels and fields of nodes."""

from __future__ import annotations

import pytest

from sampan.api.nodeselector import requirement_holds, selects, term_matches
from sampan.api.objects import Obj

NODE: Obj = {"metadata": {"name": "n1", "labels": {"disk": "ssd", "cores": "8", "odd": "1_0"}}}


def asks(key: str, operator: str, *values: str) -> Obj:
    return {"key": key, "operator": operator, "values": list(values)}


@pytest.mark.parametrize(
    ("requirement", "holds"),
    [
        (asks("disk", "In", "nvme", "ssd"), True),
        (asks("disk", "In", "nvme"), False),
        (asks("none", "In", "ssd"), False),
        (asks("disk", "NotIn", "ssd"), False),
        (asks("disk", "NotIn", "nvme"), True),
        (asks("none", "NotIn", "ssd"), True),
        (asks("disk", "Exists"), True),
        (asks("none", "Exists"), False),
        (asks("disk", "DoesNotExist"), False),
        (asks("none", "DoesNotExist"), True),
        (asks("cores", "Gt", "7"), True),
        (asks("cores", "Gt", "8"), False),
        (asks("cores", "Lt", "9"), True),
        (asks("cores", "Lt", "8"), False),
        (asks("none", "Gt", "1"), False),
        (asks("disk", "Lt", "9"), False),
        (asks("cores", "Gt"), False),
        (asks("odd", "Gt", "1"), False),
        (asks("cores", "Like", "8"), False),
    ],
)
def test_operators(requirement: Obj, holds: bool) -> None:
    assert requirement_holds(requirement, NODE["metadata"]["labels"]) is holds


SSD, NVME = asks("disk", "In", "ssd"), asks("disk", "In", "nvme")
HERE, THERE = asks("metadata.name", "In", "n1"), asks("metadata.name", "In", "n2")


@pytest.mark.parametrize(
    ("term", "matches"),
    [
        ({}, False),
        ({"matchExpressions": [], "matchFields": None}, False),
        ({"matchExpressions": [SSD]}, True),
        ({"matchExpressions": [SSD, NVME]}, False),
        ({"matchFields": [HERE]}, True),
        ({"matchFields": [THERE]}, False),
        ({"matchExpressions": [SSD], "matchFields": [THERE]}, False),
        ({"matchExpressions": [SSD], "matchFields": [HERE]}, True),
    ],
)
def test_all_of_a_term_has_to_hold_and_an_empty_one_matches_nothing(term: Obj, matches: bool) -> None:
    assert term_matches(term, NODE) is matches


def test_terms_are_alternatives() -> None:
    assert selects({"nodeSelectorTerms": [{"matchExpressions": [NVME]}, {"matchFields": [HERE]}]}, NODE)
    assert not selects({"nodeSelectorTerms": [{"matchExpressions": [NVME]}, {}]}, NODE)
    assert not selects({}, NODE)
