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
            {"rules": [rule(pathType=None, backend={})]},
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
            ["spec.defaultBackend: Required value: port name or number is required"],
        ),
        (
            {"defaultBackend": {}},
            ['spec.defaultBackend: Invalid value: "": resource or service backend is required'],
        ),
        (
            {"defaultBackend": {**BACKEND, "resource": {"kind": "Bucket", "name": "b"}}},
            ['spec.defaultBackend: Invalid value: "": cannot set both resource and service backends'],
        ),
        (
            {"defaultBackend": {"resource": {"apiGroup": "Not a group"}}},
            None,
        ),
        (
            {"defaultBackend": {"service": {"name": "web", "port": {"name": "http", "number": 80}}}},
            ['spec.defaultBackend: Invalid value: "": cannot set both port name & port number'],
        ),
        ({"defaultBackend": {"resource": {"apiGroup": "x.io", "kind": "Bucket", "name": "b"}}}, []),
        ({"rules": [rule()], "tls": [{"hosts": ["*.example.com"], "secretName": "cert"}]}, []),
        ({"rules": [rule()], "tls": [{"hosts": ["*"], "secretName": "No Secret"}]}, None),
        ({"rules": [{"host": "a.b", "http": {"paths": []}}]}, ["spec.rules[0].http.paths: Required value"]),
        (
            {"rules": [rule(path="/a/..")]},
            ["spec.rules[0].http.paths[0].path: Invalid value: \"/a/..\": cannot end with '/..'"],
        ),
    ],
)
def test_ingress(spec, found):
    said = broken(INGRESSES, spec)
    assert said == found if found is not None else said


def test_fields_of_broken_references():
    obj = {"metadata": {"name": "a", "namespace": "default"}}
    spec = {"defaultBackend": {"resource": {"apiGroup": "Not a group", "kind": "", "name": "a/b"}}}
    assert [error.field for error in validation.create(INGRESSES, {**obj, "spec": spec})] == [
        "spec.defaultBackend.resource.apiGroup",
        "spec.defaultBackend.resource.kind",
        "spec.defaultBackend.resource.name",
    ]
    spec = {"defaultBackend": BACKEND, "tls": [{"hosts": ["*", "a b"], "secretName": "No Secret"}]}
    assert [error.field for error in validation.create(INGRESSES, {**obj, "spec": spec})] == [
        "spec.tls[0].hosts[0]",
        "spec.tls[0].hosts[1]",
        "spec.tls[0].secretName",
    ]


def test_a_new_ingress_names_one_class():
    annotations = {"kubernetes.io/ingress.class": "old"}
    obj = {
        "metadata": {"name": "a", "namespace": "default", "annotations": annotations},
        "spec": {"defaultBackend": BACKEND, "ingressClassName": "new"},
    }
    assert [error.text for error in validation.create(INGRESSES, obj)] == [
        'annotations.kubernetes.io/ingress.class: Invalid value: "old": '
        "must match `ingressClassName` when both are specified"
    ]
    assert list(validation.update(INGRESSES, obj, obj)) == []
    obj["spec"]["ingressClassName"] = "old"
    assert list(validation.create(INGRESSES, obj)) == []


def test_the_status_of_an_ingress():
    old = {"metadata": {"name": "a", "namespace": "default"}, "spec": {"defaultBackend": BACKEND}}

    def told(**entry):
        new = {**old, "status": {"loadBalancer": {"ingress": [entry]}}}
        return [error.field for error in validation.update_status(INGRESSES, new, old)]

    assert told(ip="192.0.2.1") == told(hostname="lb.example.com") == []
    assert told(ip="here") == ["status.loadBalancer.ingress[0].ip"]
    assert told(hostname="192.0.2.1") == ["status.loadBalancer.ingress[0].hostname"]


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
        ("x.io/" + "a" * 246, ["spec.controller: Too long: may not be more than 250 bytes"]),
        (
            "x.io/a b",
            [
                'spec.controller: Invalid value: "a b": Invalid path (regex used for validation is '
                "'[A-Za-z0-9/\\-._~%!$&'()*+,;=:]+')"
            ],
        ),
    ],
)
def test_ingress_class(controller, found):
    assert broken(CLASSES, {"controller": controller}) == found


@pytest.mark.parametrize(
    ("parameters", "found"),
    [
        ({"kind": "P", "name": "p", "scope": "Cluster"}, []),
        ({"kind": "P", "name": "p", "scope": "Namespace", "namespace": "n"}, []),
        (
            {"kind": "P", "name": "p", "scope": "Namespace"},
            ["spec.parameters.namespace: Required value: `parameters.scope` is set to 'Namespace'"],
        ),
        (
            {"kind": "P", "name": "p", "scope": "Cluster", "namespace": "n"},
            ["spec.parameters.namespace: Forbidden: `parameters.scope` is set to 'Cluster'"],
        ),
        (
            {"scope": "World"},
            [
                "spec.parameters.kind: Required value",
                "spec.parameters.name: Required value",
                'spec.parameters.scope: Unsupported value: "World": supported values: "Cluster", "Namespace"',
            ],
        ),
    ],
)
def test_parameters_of_a_class(parameters, found):
    assert broken(CLASSES, {"controller": "x.io/a", "parameters": parameters}) == found


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
        (
            {"ports": [{"port": "http", "endPort": 80}]},
            [
                "spec.ingress[0].ports[0].endPort: Invalid value: 80: "
                "may not be specified when `port` is non-numeric"
            ],
        ),
        (
            {"ports": [{"endPort": 80}]},
            [
                "spec.ingress[0].ports[0].endPort: Invalid value: 80: "
                "may not be specified when `port` is not specified"
            ],
        ),
        (
            {"ports": [{"port": 80, "protocol": "ICMP"}]},
            [
                'spec.ingress[0].ports[0].protocol: Unsupported value: "ICMP": '
                'supported values: "SCTP", "TCP", "UDP"'
            ],
        ),
        (
            {"from": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.0.0.0/8", "fd00::/64", "x"]}}]},
            [
                'spec.ingress[0].from[0].ipBlock.except[0]: Invalid value: "10.0.0.0/8": '
                "must be a strict subset of `cidr`",
                'spec.ingress[0].from[0].ipBlock.except[1]: Invalid value: "fd00::/64": '
                "must be a strict subset of `cidr`",
                'spec.ingress[0].from[0].ipBlock.except[2]: Invalid value: "x": '
                "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)",
            ],
        ),
        ({"from": [{"ipBlock": {"cidr": "fd00::/8", "except": ["fd00:1::/32"]}}]}, []),
        (
            {"from": [{"ipBlock": {}}]},
            ["spec.ingress[0].from[0].ipBlock.cidr: Required value"],
        ),
    ],
)
def test_network_policy(rule, found):
    assert broken(POLICIES, {"podSelector": {}, "ingress": [rule]}) == found


def test_network_policy_types():
    assert broken(POLICIES, {"podSelector": {}, "policyTypes": ["Inwards"]}) == [
        'spec.policyTypes[0]: Unsupported value: "Inwards": supported values: "Egress", "Ingress"'
    ]
    kinds = ["Egress", "Ingress", "Egress"]
    assert broken(POLICIES, {"podSelector": {}, "policyTypes": kinds}) == [
        'spec.policyTypes: Invalid value: ["Egress","Ingress","Egress"]: '
        "may not specify more than two policyTypes"
    ]


@pytest.mark.parametrize(
    ("spec", "kinds"),
    [
        ({"podSelector": {}}, ["Ingress"]),
        ({"podSelector": {}, "egress": [{}]}, ["Ingress", "Egress"]),
        ({"podSelector": {}, "egress": []}, ["Ingress"]),
        ({"podSelector": {}, "ingress": [{}], "policyTypes": ["Egress"]}, ["Egress"]),
    ],
)
def test_which_way_a_policy_counts_if_it_does_not_say(spec, kinds):
    obj = {"metadata": {"name": "a"}, "spec": spec}
    defaults.apply(POLICIES, obj)
    assert obj["spec"]["policyTypes"] == kinds


def test_rules_of_egress_and_selectors_have_their_paths():
    spec = {
        "podSelector": {"matchLabels": {"a b": "c"}},
        "egress": [
            {"to": [{"namespaceSelector": {"matchExpressions": [{"key": "a", "operator": "Like"}]}}]},
            {"ports": [{"port": "Not-A-Port-Name"}]},
        ],
    }
    obj = {"metadata": {"name": "a", "namespace": "default"}, "spec": spec}
    defaults.apply(POLICIES, obj)
    found = [error.field for error in validation.create(POLICIES, obj)]
    assert found[0].startswith("spec.podSelector.matchLabels")
    assert found[1].startswith("spec.egress[0].to[0].namespaceSelector.matchExpressions[0]")
    assert found[2].startswith("spec.egress[1].ports[0].port")
