import pytest

from sampan.api import defaults
from sampan.api.objects import Obj
from sampan.api.resources import resource

GROUP = "admissionregistration.k8s.io"
MATCH = {"matchPolicy": "Equivalent", "namespaceSelector": {}, "objectSelector": {}}
WEBHOOK = {"failurePolicy": "Fail", "timeoutSeconds": 10, **MATCH}


@pytest.mark.parametrize(
    ("plural", "after"),
    [
        ("validatingwebhookconfigurations", WEBHOOK),
        ("mutatingwebhookconfigurations", {**WEBHOOK, "reinvocationPolicy": "Never"}),
    ],
)
def test_a_webhook_fails_closed_within_ten_seconds(plural: str, after: Obj) -> None:
    webhook: Obj = {"rules": [{"scope": "Namespaced"}, {}], "clientConfig": {"service": {"name": "s"}}}
    obj: Obj = {"webhooks": [webhook, {"failurePolicy": "Ignore", "timeoutSeconds": 3}]}
    defaults.apply(resource(GROUP, "v1", plural), obj)
    assert obj["webhooks"] == [
        {
            **after,
            "rules": [{"scope": "Namespaced"}, {"scope": "*"}],
            "clientConfig": {"service": {"name": "s", "port": 443}},
        },
        {**after, "failurePolicy": "Ignore", "timeoutSeconds": 3},
    ]


def test_a_policy_fails_closed_and_matches_equivalents_where_it_matches_at_all() -> None:
    policies = resource(GROUP, "v1", "validatingadmissionpolicies")
    bare: Obj = {}
    defaults.apply(policies, bare)
    assert bare == {"spec": {"failurePolicy": "Fail"}}
    rules = {"resourceRules": [{}], "excludeResourceRules": [{"scope": "Cluster"}, {}]}
    obj: Obj = {"spec": {"failurePolicy": "Ignore", "matchConstraints": rules}}
    defaults.apply(policies, obj)
    assert obj["spec"] == {
        "failurePolicy": "Ignore",
        "matchConstraints": {
            **MATCH,
            "resourceRules": [{"scope": "*"}],
            "excludeResourceRules": [{"scope": "Cluster"}, {"scope": "*"}],
        },
    }


def test_a_binding_that_narrows_nothing_stays_as_it_is() -> None:
    bindings = resource(GROUP, "v1", "validatingadmissionpolicybindings")
    bare: Obj = {"spec": {"policyName": "p"}}
    defaults.apply(bindings, bare)
    assert bare == {"spec": {"policyName": "p"}}
    narrow: Obj = {"spec": {"matchResources": {}}}
    defaults.apply(bindings, narrow)
    assert narrow["spec"]["matchResources"] == MATCH
