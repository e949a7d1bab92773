"""Rules of what bounds a namespace."""

import pytest

from sampan.api import defaults, validation
from sampan.api.resources import resource

QUOTAS = resource("", "v1", "resourcequotas")
LIMITS = resource("", "v1", "limitranges")


def made(kind, **fields):
    obj = {"metadata": {"name": "a", "namespace": "default"}, **fields}
    defaults.apply(kind, obj)
    return obj


def broken(kind, **fields):
    return [error.text for error in validation.create(kind, made(kind, **fields))]


@pytest.mark.parametrize(
    ("hard", "found"),
    [
        ({"pods": "4", "requests.cpu": "1", "count/deployments.apps": "2", "example.com/gpu": "1"}, []),
        ({"pods": "-1"}, ['spec.hard[pods]: Invalid value: "-1": must be greater than or equal to 0']),
        (
            {"podz": "1"},
            [
                'spec.hard[podz]: Invalid value: "podz": must be a standard resource type or fully qualified',
                'spec.hard[podz]: Invalid value: "podz": must be a standard resource for quota',
            ],
        ),
    ],
)
def test_resource_quota(hard, found):
    assert broken(QUOTAS, spec={"hard": hard}) == found


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"scopes": ["BestEffort"], "hard": {"pods": "1"}}, []),
        ({"scopes": ["Whatever"]}, ["unsupported scope"]),
        ({"scopes": ["BestEffort"], "hard": {"cpu": "1"}}, ["unsupported scope applied to resource"]),
        ({"scopes": ["BestEffort", "NotBestEffort"]}, ["conflicting scopes"]),
    ],
)
def test_scopes(spec, words):
    assert [text.rpartition(": ")[2] for text in broken(QUOTAS, spec=spec)] == words


@pytest.mark.parametrize(
    ("want", "field"),
    [
        ({"scopeName": "PriorityClass", "operator": "In", "values": ["a"]}, None),
        ({"scopeName": "PriorityClass", "operator": "Exists"}, None),
        ({"scopeName": "PriorityClass", "operator": "In"}, "values: Required value"),
        ({"scopeName": "PriorityClass", "operator": "Exists", "values": ["a"]}, "values: Invalid value"),
        ({"scopeName": "PriorityClass", "operator": "Gt"}, "operator: Invalid value"),
        ({"scopeName": "BestEffort", "operator": "DoesNotExist"}, "operator: Invalid value"),
        ({"operator": "Exists"}, "scopeName: Required value"),
    ],
)
def test_scope_selector(want, field):
    found = broken(QUOTAS, spec={"scopeSelector": {"matchExpressions": [want]}})
    if field is None:
        assert found == []
    else:
        assert found[0].startswith(f"spec.scopeSelector.matchExpressions[0].{field}")


def test_scopes_stay():
    new, old = made(QUOTAS, spec={"scopes": ["BestEffort"]}), made(QUOTAS, spec={})
    for obj in (new, old):
        obj["metadata"]["resourceVersion"] = "1"
    (error,) = validation.update(QUOTAS, new, old)
    assert error.text == 'spec.scopes: Invalid value: ["BestEffort"]: field is immutable'
    new["status"] = {"used": {"pods": "-1"}}
    (error,) = validation.update_status(QUOTAS, new, new)
    assert error.field == "status.used[pods]"


@pytest.mark.parametrize(
    ("limit", "found"),
    [
        ({"type": "Container", "min": {"cpu": "1"}, "max": {"cpu": "2"}}, []),
        (
            {
                "type": "Container",
                "min": {"cpu": "2"},
                "max": {"cpu": "3"},
                "default": {"cpu": "4"},
                "defaultRequest": {"cpu": "2"},
            },
            ['spec.limits[0].default[cpu]: Invalid value: "4": default value 4 is greater than max value 3'],
        ),
        (
            {"type": "Pod", "default": {"cpu": "1"}},
            ["spec.limits[0].default: Forbidden: may not be specified when `type` is 'Pod'"],
        ),
        (
            {"type": "PersistentVolumeClaim"},
            [
                "spec.limits[0].limits: Required value: "
                "either minimum or maximum storage value is required, but neither was provided"
            ],
        ),
        (
            {"type": "Pod", "maxLimitRequestRatio": {"cpu": "500m"}},
            ['spec.limits[0].maxLimitRequestRatio[cpu]: Invalid value: "500m": ratio 500m is less than 1'],
        ),
        (
            {
                "type": "Pod",
                "min": {"cpu": "1"},
                "max": {"cpu": "2"},
                "maxLimitRequestRatio": {"cpu": "3"},
            },
            [
                'spec.limits[0].maxLimitRequestRatio[cpu]: Invalid value: "3": '
                "ratio 3 is greater than max/min = 2.000000"
            ],
        ),
        (
            {
                "type": "Container",
                "default": {"example.com/gpu": "2"},
                "defaultRequest": {"example.com/gpu": "1"},
            },
            [
                'spec.limits[0].defaultRequest[example.com/gpu]: Invalid value: "1": '
                "default value 2 must equal to defaultRequest value 1 in example.com/gpu"
            ],
        ),
        (
            {"type": "Container", "max": {"gpu": "1"}, "default": {}},
            [
                f'spec.limits[0].{field}[gpu]: Invalid value: "gpu": {words}'
                for field in ("max", "default", "defaultRequest")
                for words in (
                    "must be a standard resource type or fully qualified",
                    "must be a standard resource for containers",
                )
            ],
        ),
    ],
)
def test_limit_range(limit, found):
    assert broken(LIMITS, spec={"limits": [limit]}) == found
