import base64

import pytest

from sampan.api import defaults, validation
from sampan.api.resources import CONFIG_MAPS, EVENTS, LEASES, NAMESPACES, NODES, SECRETS, resource


def texts(errors):
    return [error.text for error in errors]


def of(kind, **fields):
    metadata = {"name": "a", "namespace": "default"} if kind.namespaced else {"name": "a"}
    obj = {"metadata": metadata, **fields}
    defaults.apply(kind, obj)
    return obj


@pytest.mark.parametrize(
    ("kind", "fields", "found"),
    [
        (CONFIG_MAPS, {"data": {"a.conf": "x"}}, []),
        (
            CONFIG_MAPS,
            {"data": {"a": "x"}, "binaryData": {"a": "eA=="}},
            ['data[a]: Invalid value: "a": duplicate of key present in binaryData'],
        ),
        (CONFIG_MAPS, {"data": {"a": "x" * (2**20 + 1)}}, ["Too long: may not be more than 1048576 bytes"]),
        (SECRETS, {"data": {"..": ""}}, ["data[..]: Invalid value: \"..\": must not be '..'"]),
        (
            SECRETS,
            {"type": "kubernetes.io/tls", "data": {"tls.crt": "eA=="}},
            ["data[tls.key]: Required value"],
        ),
        (
            SECRETS,
            {"type": "kubernetes.io/service-account-token"},
            ["metadata.annotations[kubernetes.io/service-account.name]: Required value"],
        ),
        (
            LEASES,
            {"spec": {"leaseDurationSeconds": 0}},
            ["spec.leaseDurationSeconds: Invalid value: 0: must be greater than zero"],
        ),
        (
            NODES,
            {"spec": {"taints": [{"key": "a", "effect": "Sometimes"}]}},
            [
                'metadata.taints[0].effect: Unsupported value: "Sometimes": '
                'supported values: "NoSchedule", "PreferNoSchedule", "NoExecute"'
            ],
        ),
        (
            EVENTS,
            {"involvedObject": {"namespace": "other"}},
            ['involvedObject.namespace: Invalid value: "other": does not match event.namespace'],
        ),
        (resource("", "v1", "bindings"), {}, ["target.name: Required value"]),
    ],
)
def test_new_objects(kind, fields, found):
    assert texts(validation.create(kind, of(kind, **fields))) == found


FROZEN = "field is immutable when `immutable` is set"


@pytest.mark.parametrize("kind", [CONFIG_MAPS, SECRETS], ids=lambda kind: kind.plural)
def test_what_is_immutable_stays_so(kind):
    old = of(kind, immutable=True, data={"a": "eA=="})
    assert validation.update(kind, of(kind, immutable=True, data={"a": "eA=="}), old) == []
    assert texts(validation.update(kind, of(kind, data={"a": "eQ=="}), old)) == [
        f"immutable: Forbidden: {FROZEN}",
        f"data: Forbidden: {FROZEN}",
    ]


def test_the_type_of_a_secret_does_not_change():
    new, old = of(SECRETS, type="example.com/x"), of(SECRETS)
    assert texts(validation.update(SECRETS, new, old)) == [
        'type: Invalid value: "example.com/x": field is immutable'
    ]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{}", None),
        ("null", None),
        ("a", "invalid character 'a' looking for beginning of value"),
        ("", "unexpected end of JSON input"),
        ("[]", "json: cannot unmarshal array into Go value of type map[string]interface {}"),
    ],
)
def test_credentials_of_registries_are_json(text, reason):
    data = {".dockerconfigjson": base64.b64encode(text.encode()).decode()}
    found = texts(validation.create(SECRETS, of(SECRETS, type="kubernetes.io/dockerconfigjson", data=data)))
    at = "data[.dockerconfigjson]: Invalid value"
    assert found == ([f'{at}: "<secret contents redacted>": {reason}'] if reason else [])


def test_what_a_node_was_given_stays():
    old = of(NODES, spec={"podCIDR": "10.0.0.0/24", "providerID": "x"})
    new = of(NODES, spec={"podCIDR": "10.0.1.0/24"})
    assert texts(validation.update(NODES, new, old)) == [
        'spec.podCIDRs: Forbidden: node updates may not change podCIDR except from "" to valid',
        'spec.providerID: Forbidden: node updates may not change providerID except from "" to valid',
    ]


def test_a_namespace_is_terminating_only_when_deleted():
    old, new = of(NAMESPACES), of(NAMESPACES, status={"phase": "Terminating"})
    assert texts(validation.update_status(NAMESPACES, new, old)) == [
        "status.Phase: Invalid value: \"Terminating\": may only be 'Active' if `deletionTimestamp` is empty"
    ]
