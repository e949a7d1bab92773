from __future__ import annotations

import pytest

from sampan.api.errors import StatusError
from sampan.api.objects import Obj
from sampan.api.resources import DEPLOYMENTS
from sampan.apiserver import scale

METADATA = {"name": "web", "namespace": "ns", "uid": "u", "resourceVersion": "7", "labels": {"a": "b"}}


@pytest.mark.parametrize(
    ("selector", "shown"),
    [
        ({"matchLabels": {"b": "2", "a": "1"}}, "a=1,b=2"),
        ({"matchExpressions": [{"key": "a", "operator": "In", "values": ["2", "1"]}]}, "a in (1,2)"),
        ({"app": "web"}, "app=web"),
        (None, None),
    ],
    ids=["labels", "expressions", "plain", "none"],
)
def test_a_scale_says_which_pods_it_counts(selector: Obj | None, shown: str | None) -> None:
    view = scale.view(
        {"metadata": METADATA, "spec": {"replicas": 3, "selector": selector}, "status": {"replicas": 2}}
    )
    assert view["status"] == {"replicas": 2} | ({"selector": shown} if shown else {})
    assert view["spec"] == {"replicas": 3} and view["apiVersion"] == "autoscaling/v1"
    assert view["metadata"] == {key: METADATA[key] for key in ("name", "namespace", "uid", "resourceVersion")}


def test_none_wanted_is_said_by_saying_nothing() -> None:
    view = scale.view({"metadata": METADATA, "spec": {"replicas": 0}})
    assert view["spec"] == {} and view["status"] == {"replicas": 0}


def test_replicas_are_written_and_never_negative() -> None:
    obj: Obj = {"metadata": METADATA, "spec": {"replicas": 3}}
    scale.set_replicas(DEPLOYMENTS, obj, {"spec": {"replicas": 5}})
    assert obj["spec"]["replicas"] == 5
    scale.set_replicas(DEPLOYMENTS, obj, {})
    assert obj["spec"]["replicas"] == 0
    with pytest.raises(
        StatusError, match=r"spec\.replicas: Invalid value: -1: must be greater than or equal to 0"
    ):
        scale.set_replicas(DEPLOYMENTS, obj, {"spec": {"replicas": -1}})
