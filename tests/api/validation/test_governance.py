import pytest

from sampan.api import defaults, names, validation
from sampan.api.resources import resource

RBAC = "rbac.authorization.k8s.io"
ROLES = resource(RBAC, "v1", "roles")
CLUSTER_ROLES = resource(RBAC, "v1", "clusterroles")
BINDINGS = resource(RBAC, "v1", "rolebindings")
CLUSTER_BINDINGS = resource(RBAC, "v1", "clusterrolebindings")
BUDGETS = resource("policy", "v1", "poddisruptionbudgets")
AUTOSCALERS = resource("autoscaling", "v2", "horizontalpodautoscalers")


def made(kind, **fields):
    obj = {"metadata": {"name": "a", **({"namespace": "default"} if kind.namespaced else {})}, **fields}
    defaults.apply(kind, obj)
    return obj


def broken(kind, **fields):
    return [error.text for error in validation.create(kind, made(kind, **fields))]


READ = {"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}
REF = {"apiGroup": RBAC, "kind": "Role", "name": "reader"}
(SUBDOMAIN,) = names.dns_subdomain("Bot")
TARGET = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}


@pytest.mark.parametrize(
    ("rule", "found"),
    [
        (READ, []),
        (READ | {"verbs": []}, ["rules[0].verbs: Required value: verbs must contain at least one value"]),
        (
            READ | {"apiGroups": []},
            ["rules[0].apiGroups: Required value: resource rules must supply at least one api group"],
        ),
        (
            READ | {"resources": []},
            ["rules[0].resources: Required value: resource rules must supply at least one resource"],
        ),
        (
            {"verbs": ["get"], "nonResourceURLs": ["/metrics"]},
            [
                'rules[0].nonResourceURLs: Invalid value: ["/metrics"]: '
                "namespaced rules cannot apply to non-resource URLs"
            ],
        ),
    ],
)
def test_role(rule, found):
    assert broken(ROLES, rules=[rule]) == found


def test_cluster_roles_may_speak_of_paths():
    assert broken(CLUSTER_ROLES, rules=[{"verbs": ["get"], "nonResourceURLs": ["/metrics"]}]) == []


@pytest.mark.parametrize(
    ("ref", "subject", "found"),
    [
        (REF, {"kind": "User", "name": "jane"}, []),
        (REF, {"kind": "ServiceAccount", "name": "bot", "namespace": "default"}, []),
        (REF, {"kind": "ServiceAccount", "name": "bot"}, []),
        (
            REF,
            {"kind": "ServiceAccount", "name": "Bot", "apiGroup": "x"},
            [
                f'subjects[0].name: Invalid value: "Bot": {SUBDOMAIN}',
                'subjects[0].apiGroup: Unsupported value: "x": supported values: ""',
            ],
        ),
        (REF | {"name": ""}, {"kind": "User", "name": "jane"}, ["roleRef.name: Required value"]),
        (
            REF | {"kind": "Rule"},
            {"kind": "Bot", "name": "x"},
            [
                'roleRef.kind: Unsupported value: "Rule": supported values: "Role", "ClusterRole"',
                'subjects[0].kind: Unsupported value: "Bot": '
                'supported values: "ServiceAccount", "User", "Group"',
            ],
        ),
    ],
)
def test_role_binding(ref, subject, found):
    assert broken(BINDINGS, roleRef=ref, subjects=[subject]) == found


def test_a_binding_for_the_whole_cluster_says_where_the_service_account_is():
    ref, subject = REF | {"kind": "ClusterRole"}, {"kind": "ServiceAccount", "name": "bot"}
    found = ["subjects[0].namespace: Required value"]
    assert broken(CLUSTER_BINDINGS, roleRef=ref, subjects=[subject]) == found


def test_a_binding_keeps_its_role():
    old, new = made(BINDINGS, roleRef=REF), made(BINDINGS, roleRef=REF | {"name": "writer"})
    new["metadata"]["resourceVersion"] = old["metadata"]["resourceVersion"] = "1"
    (error,) = validation.update(BINDINGS, new, old)
    assert error.field == "roleRef" and error.text.endswith("cannot change roleRef")


@pytest.mark.parametrize(
    ("spec", "found"),
    [
        ({"minAvailable": 1}, []),
        ({"maxUnavailable": "50%"}, []),
        ({"minAvailable": -1}, ["spec.minAvailable: Invalid value: -1: must be greater than or equal to 0"]),
        (
            {"maxUnavailable": "200%"},
            ['spec.maxUnavailable: Invalid value: "200%": must not be greater than 100%'],
        ),
        (
            {"minAvailable": 1, "maxUnavailable": 1},
            [
                'spec: Invalid value: {"minAvailable":1,"maxUnavailable":1}: '
                "minAvailable and maxUnavailable cannot be both set"
            ],
        ),
    ],
)
def test_disruption_budget(spec, found):
    assert broken(BUDGETS, spec=spec) == found


@pytest.mark.parametrize(
    ("spec", "found"),
    [
        ({"maxReplicas": 3}, []),
        (
            {"maxReplicas": 0},
            [
                "spec.maxReplicas: Invalid value: 0: must be greater than 0",
                "spec.maxReplicas: Invalid value: 0: must be greater than or equal to `minReplicas`",
            ],
        ),
        (
            {"maxReplicas": 3, "minReplicas": 5},
            ["spec.maxReplicas: Invalid value: 3: must be greater than or equal to `minReplicas`"],
        ),
        (
            {"maxReplicas": 3, "minReplicas": 0},
            ["spec.minReplicas: Invalid value: 0: must be greater than or equal to 1"],
        ),
        (
            {"maxReplicas": 3, "scaleTargetRef": {"kind": "Deployment"}},
            ["spec.scaleTargetRef.name: Required value"],
        ),
        (
            {"maxReplicas": 3, "metrics": [{"type": "Resource"}]},
            [
                "spec.metrics[0].resource: Required value: "
                "must populate information for the given metric source"
            ],
        ),
    ],
)
def test_autoscaler(spec, found):
    assert broken(AUTOSCALERS, spec={"scaleTargetRef": TARGET} | spec) == found


def test_who_may_be_evicted_while_unhealthy():
    spec = {"selector": {}, "minAvailable": 1, "unhealthyPodEvictionPolicy": "Sometimes"}
    assert broken(BUDGETS, spec=spec) == [
        'spec.unhealthyPodEvictionPolicy: Unsupported value: "Sometimes": '
        'supported values: "AlwaysAllow", "IfHealthyBudget"'
    ]
