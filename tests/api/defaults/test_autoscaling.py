import pytest

from sampan.api import defaults
from sampan.api.objects import Obj
from sampan.api.resources import resource

V2 = resource("autoscaling", "v2", "horizontalpodautoscalers")
V1 = resource("autoscaling", "v1", "horizontalpodautoscalers")
CPU_80 = {
    "type": "Resource",
    "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}},
}
DOUBLE = {"type": "Percent", "value": 100, "periodSeconds": 15}
FOUR = {"type": "Pods", "value": 4, "periodSeconds": 15}


@pytest.mark.parametrize(
    ("spec", "added"),
    [
        ({}, {"minReplicas": 1, "metrics": [CPU_80]}),
        ({"minReplicas": 0, "metrics": []}, {"minReplicas": 0, "metrics": [CPU_80]}),
        (
            {"minReplicas": 3, "metrics": [{"type": "Pods"}]},
            {"minReplicas": 3, "metrics": [{"type": "Pods"}]},
        ),
    ],
)
def test_without_metrics_it_scales_on_eighty_percent_of_the_cpu(spec: Obj, added: Obj) -> None:
    obj: Obj = {"metadata": {}, "spec": spec}
    defaults.apply(V2, obj)
    assert obj["spec"] == added


def test_it_grows_at_once_by_the_most_of_two_policies_and_shrinks_after_the_controllers_own_window() -> None:
    obj: Obj = {"metadata": {}, "spec": {"metrics": [{"type": "Pods"}], "behavior": {}}}
    defaults.apply(V2, obj)
    assert obj["spec"]["behavior"] == {
        "scaleUp": {"stabilizationWindowSeconds": 0, "selectPolicy": "Max", "policies": [FOUR, DOUBLE]},
        "scaleDown": {"selectPolicy": "Max", "policies": [DOUBLE]},
    }


def test_chosen_policies_stay() -> None:
    chosen = {"stabilizationWindowSeconds": 60, "selectPolicy": "Min", "policies": [FOUR]}
    obj: Obj = {"metadata": {}, "spec": {"behavior": {"scaleUp": dict(chosen)}}}
    defaults.apply(V2, obj)
    assert obj["spec"]["behavior"]["scaleUp"] == chosen


def test_one_objects_policies_are_not_anothers() -> None:
    one, other = ({"metadata": {}, "spec": {"behavior": {}}} for _ in range(2))
    defaults.apply(V2, one)
    one["spec"]["behavior"]["scaleUp"]["policies"][0]["value"] = 99
    defaults.apply(V2, other)
    assert other["spec"]["behavior"]["scaleUp"]["policies"] == [FOUR, DOUBLE]


def test_the_first_version_has_no_metrics_of_its_own() -> None:
    obj: Obj = {"metadata": {}, "spec": {}}
    defaults.apply(V1, obj)
    assert obj["spec"] == {"minReplicas": 1}
