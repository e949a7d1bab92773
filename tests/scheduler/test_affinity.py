"""Which nodes a Pod names, by label and by field."""

from __future__ import annotations

from typing import Any

import pytest

from sampan.api.objects import Obj
from sampan.scheduler.affinity import matches_required, preferred_weight

NODE: Obj = {"metadata": {"name": "n1", "labels": {"disk": "ssd", "cores": "8", "odd": "1_0"}}}


def asks(key: str, operator: str, *values: str) -> Obj:
    return {"key": key, "operator": operator, "values": list(values)}


SSD, NVME = asks("disk", "In", "ssd"), asks("disk", "In", "nvme")
HERE = asks("metadata.name", "In", "n1")


def pod(*terms: Obj, selector: dict[str, str] | None = None) -> Obj:
    required = {"nodeSelectorTerms": list(terms)}
    affinity: Any = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}}
    return {"nodeSelector": selector, "affinity": affinity}


@pytest.mark.parametrize(
    ("spec", "matches"),
    [
        ({}, True),
        ({"affinity": {"nodeAffinity": None}}, True),
        ({"nodeSelector": {"disk": "ssd", "cores": "8"}}, True),
        ({"nodeSelector": {"disk": "ssd", "cores": "9"}}, False),
        (pod({"matchExpressions": [NVME]}, {"matchFields": [HERE]}), True),
        (pod({"matchExpressions": [NVME]}, {}), False),
        (pod(), False),
        (pod({"matchFields": [HERE]}, selector={"disk": "nvme"}), False),
    ],
)
def test_terms_are_alternatives_and_the_selector_comes_on_top(spec: Obj, matches: bool) -> None:
    assert matches_required(spec, NODE) is matches


def test_the_weights_of_what_matches_add_up() -> None:
    preferred = [
        {"weight": 5, "preference": {"matchExpressions": [SSD]}},
        {"weight": 20, "preference": {"matchExpressions": [NVME]}},
        {"weight": 50, "preference": {}},
        {"weight": 7, "preference": {"matchFields": [HERE]}},
    ]
    spec = {"affinity": {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": preferred}}}
    assert preferred_weight(spec, NODE) == 12
    assert preferred_weight({}, NODE) == 0
