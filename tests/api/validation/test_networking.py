import pytest

from sampan.api import defaults, validation
from sampan.api.resources import resource

INGRESSES = resource("networking.k8s.io", "v1", "ingresses")
CLASSES = resource("networking.k8s.io", "v1", "ingressclasses")
POLICIES = resource("networking.k8s.io", "v1", "networkpolicies")
BACKEND = {"service": {"name": "web", "port": {"number": 80}}}


def broken(kind, spec):
    obj = {"metadata": {"name": "a", **({"namespace": "default"} if kind.namespaced else {})}, "spec": spec}
    defaults.apply(kind, obj)
    return [error.text for error in validation.create(kind, obj)]


def rule(host="web.example.com", **path):
    return {"host": host, "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": BACKEND} | path]}}


@pytest.mark.parametrize(
    ("spec", "found"),
    [
        ({"rules": [rule()]}, []),
        ({"defaultBackend": BACKEND}, []),
        ({"rules": [rule("*.example.com")]}, []),
        ({"rules": [rule(path="", pathType="ImplementationSpecific")]}, []),
        ({}, ["spec: Invalid value: null: either `defaultBackend` or `rules` must be specified"]),
        (
            {"rules": [rule("10.0.0.1")]},
            ['spec.rules[0].host: Invalid value: "10.0.0.1": must be a DNS name, not an IP address'],
        ),
        (
            {"rules": [rule(pathType=None)]},
            ["spec.rules[0].http.paths[0].pathType: Required value: pathType must be specified"],
        ),
        (
            {"rules": [rule(pathType="Regex")]},
            [
                'spec.rules[0].http.paths[0].pathType: Unsupported value: "Regex": '
                'supported values: "Exact", "ImplementationSpecific", "Prefix"'
            ],
        ),
        (
            {"rules": [rule(path="foo")]},
            ['spec.rules[0].http.paths[0].path: Invalid value: "foo": must be an absolute path'],
        ),
        (
            {"rules": [rule(path="/a//b")]},
            ["spec.rules[0].http.paths[0].path: Invalid value: \"/a//b\": must not contain '//'"],
        ),
        (
            {"defaultBackend": {"service": {"name": "web"}}},
            ["spec.defaultBackend.service: Required value: port name or number is required"],
        ),
        (
            {"defaultBackend": {}},
            ['spec.defaultBackend: Invalid value: "": resource or service backend is required'],
        ),
    ],
)
def test_ingress(spec, found):
    assert broken(INGRESSES, spec) == found


@pytest.mark.parametrize(
    ("controller", "found"),
    [
        ("example.com/ingress", []),
        ("", ["spec.controller: Required value"]),
        (
            "nginx",
            [
                'spec.controller: Invalid value: "nginx": must be a domain-prefixed path '
                '(such as "acme.io/foo")'
            ],
        ),
    ],
)
def test_ingress_class(controller, found):
    assert broken(CLASSES, {"controller": controller}) == found


def test_controller_of_a_class_stays():
    old, new = ({"metadata": {"name": "a"}, "spec": {"controller": f"x.io/{name}"}} for name in "ab")
    assert [error.text for error in validation.update(CLASSES, new, old)][-1:] == [
        'spec.controller: Invalid value: "x.io/b": field is immutable'
    ]


@pytest.mark.parametrize(
    ("rule", "found"),
    [
        ({}, []),
        (
            {
                "from": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}}],
                "ports": [{"port": 80}],
            },
            [],
        ),
        ({"from": [{"podSelector": {}, "namespaceSelector": {}}]}, []),
        ({"ports": [{"port": 80, "endPort": 90}]}, []),
        ({"from": [{}]}, ["spec.ingress[0].from[0]: Required value: must specify a peer"]),
        (
            {"from": [{"podSelector": {}, "ipBlock": {"cidr": "10.0.0.0/8"}}]},
            ["spec.ingress[0].from[0]: Forbidden: may not specify both ipBlock and another peer"],
        ),
        (
            {"from": [{"ipBlock": {"cidr": "10.0.0.0"}}]},
            [
                'spec.ingress[0].from[0].ipBlock.cidr: Invalid value: "10.0.0.0": '
                "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"
            ],
        ),
        (
            {"from": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["11.0.0.0/16"]}}]},
            [
                'spec.ingress[0].from[0].ipBlock.except[0]: Invalid value: "11.0.0.0/16": '
                "must be a strict subset of `cidr`"
            ],
        ),
        (
            {"ports": [{"port": 99999}]},
            ["spec.ingress[0].ports[0].port: Invalid value: 99999: must be between 1 and 65535, inclusive"],
        ),
        (
            {"ports": [{"port": 90, "endPort": 80}]},
            ["spec.ingress[0].ports[0].endPort: Invalid value: 80: must be greater than or equal to `port`"],
        ),
    ],
)
def test_network_policy(rule, found):
    assert broken(POLICIES, {"podSelector": {}, "ingress": [rule]}) == found


def test_network_policy_types():
    assert broken(POLICIES, {"podSelector": {}, "policyTypes": ["Inwards"]}) == [
        'spec.policyTypes[0]: Unsupported value: "Inwards": supported values: "Egress", "Ingress"'
    ]
