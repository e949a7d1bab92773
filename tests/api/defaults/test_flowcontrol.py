import pytest

from sampan.api import defaults
from sampan.api.objects import Obj
from sampan.api.resources import resource

SCHEMAS = resource("flowcontrol.apiserver.k8s.io", "v1", "flowschemas")
LEVELS = resource("flowcontrol.apiserver.k8s.io", "v1", "prioritylevelconfigurations")


def test_a_schema_without_precedence_comes_after_those_with() -> None:
    obj: Obj = {}
    defaults.apply(SCHEMAS, obj)
    assert obj == {"spec": {"matchingPrecedence": 1000}}


@pytest.mark.parametrize(
    ("spec", "after"),
    [
        (
            {"type": "Limited", "limited": {}},
            {"type": "Limited", "limited": {"nominalConcurrencyShares": 30, "lendablePercent": 0}},
        ),
        (
            {"limited": {"nominalConcurrencyShares": 0, "limitResponse": {"queuing": {}}}},
            {
                "limited": {
                    "nominalConcurrencyShares": 0,
                    "lendablePercent": 0,
                    "limitResponse": {"queuing": {"queues": 64, "handSize": 8, "queueLengthLimit": 50}},
                }
            },
        ),
        ({"exempt": {}}, {"exempt": {"nominalConcurrencyShares": 0, "lendablePercent": 0}}),
        (
            {"exempt": {"lendablePercent": 50}},
            {"exempt": {"nominalConcurrencyShares": 0, "lendablePercent": 50}},
        ),
        ({}, {}),
    ],
)
def test_a_level_has_shares_by_its_type(spec: Obj, after: Obj) -> None:
    obj: Obj = {"spec": spec}
    defaults.apply(LEVELS, obj)
    assert obj["spec"] == after
