"""Promises that hold for the defaults of every kind."""

import copy

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness import shapes
from sampan.api import defaults
from sampan.api.resources import resource


@pytest.mark.parametrize("kind", shapes.served(), ids=lambda kind: f"{kind.qualified}/{kind.version}")
def test_an_empty_object_can_be_defaulted(kind):
    obj = {"metadata": {}}
    defaults.apply(kind, obj)
    again = copy.deepcopy(obj)
    defaults.apply(kind, again)
    assert again == obj


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@pytest.mark.parametrize("kind", shapes.defaulted(), ids=lambda kind: f"{kind.qualified}/{kind.version}")
@given(data=st.data())
def test_defaults_applied_twice_are_defaults_applied_once(kind, data):
    obj = data.draw(shapes.objects(kind))
    before = copy.deepcopy(obj)
    defaults.apply(kind, obj)
    once = copy.deepcopy(obj)
    defaults.apply(kind, obj)
    assert obj == once
    # what was set, and means something, is still there
    for key, value in before.items():
        if isinstance(value, str) and value:
            assert obj[key] == value


@pytest.mark.parametrize(
    ("name", "spec", "found"),
    [
        (
            ("autoscaling", "v2", "horizontalpodautoscalers"),
            {"behavior": {"scaleUp": {"selectPolicy": "Min"}}},
            {
                "minReplicas": 1,
                "metrics": [
                    {
                        "type": "Resource",
                        "resource": {
                            "name": "cpu",
                            "target": {"type": "Utilization", "averageUtilization": 80},
                        },
                    }
                ],
                "behavior": {
                    "scaleUp": {
                        "selectPolicy": "Min",
                        "stabilizationWindowSeconds": 0,
                        "policies": [
                            {"type": "Pods", "value": 4, "periodSeconds": 15},
                            {"type": "Percent", "value": 100, "periodSeconds": 15},
                        ],
                    },
                    "scaleDown": {
                        "selectPolicy": "Max",
                        "policies": [{"type": "Percent", "value": 100, "periodSeconds": 15}],
                    },
                },
            },
        ),
        (("autoscaling", "v1", "horizontalpodautoscalers"), {}, {"minReplicas": 1}),
        (
            ("networking.k8s.io", "v1", "networkpolicies"),
            {"egress": [{"ports": [{"port": 53}]}]},
            {
                "egress": [{"ports": [{"port": 53, "protocol": "TCP"}]}],
                "podSelector": {},
                "policyTypes": ["Ingress", "Egress"],
            },
        ),
        (
            ("apiextensions.k8s.io", "v1", "customresourcedefinitions"),
            {"names": {"kind": "Foo", "plural": "foos"}},
            {
                "names": {"kind": "Foo", "plural": "foos", "singular": "foo", "listKind": "FooList"},
                "conversion": {"strategy": "None"},
            },
        ),
        (
            ("resource.k8s.io", "v1", "resourceclaims"),
            {"devices": {"requests": [{"exactly": {"tolerations": [{}]}}]}},
            {
                "devices": {
                    "requests": [
                        {
                            "exactly": {
                                "tolerations": [{"operator": "Equal"}],
                                "allocationMode": "ExactCount",
                                "count": 1,
                            }
                        }
                    ]
                }
            },
        ),
    ],
)
def test_groups(name, spec, found):
    obj = {"metadata": {}, "spec": spec}
    defaults.apply(resource(*name), obj)
    assert obj["spec"] == found
