import copy

import pytest

from sampan.api import defaults, validation
from sampan.api.resources import SERVICES


def texts(errors):
    return [error.text for error in errors]


def service(**spec):
    obj = {"metadata": {"name": "web", "namespace": "default"}, "spec": {"ports": [{"port": 80}], **spec}}
    obj = copy.deepcopy(obj)
    defaults.apply(SERVICES, obj)
    return obj


ALLOCATED = {"clusterIP": "10.96.0.9", "clusterIPs": ["10.96.0.9"], "ipFamilies": ["IPv4"]}
HEADLESS = {"clusterIP": "None", "clusterIPs": ["None"]}


@pytest.mark.parametrize(
    ("spec", "found"),
    [
        ({}, []),
        (ALLOCATED, []),
        ({"ports": []}, ["spec.ports: Required value"]),
        ({"ports": [], **HEADLESS}, []),
        (
            {"ports": [{"port": 0}]},
            [
                "spec.ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive",
                "spec.ports[0].targetPort: Invalid value: 0: must be between 1 and 65535, inclusive",
            ],
        ),
        (
            {"ports": [{"port": 80}, {"port": 443}]},
            ["spec.ports[0].name: Required value", "spec.ports[1].name: Required value"],
        ),
        (
            {"ports": [{"name": "a", "port": 80}, {"name": "a", "port": 443}]},
            ['spec.ports[1].name: Duplicate value: "a"'],
        ),
        (
            {"ports": [{"name": "a", "port": 80}, {"name": "b", "port": 80}]},
            ['spec.ports[1]: Duplicate value: {"protocol":"TCP","port":80}'],
        ),
        ({"ports": [{"name": "a", "port": 53}, {"name": "b", "port": 53, "protocol": "UDP"}]}, []),
        (
            {"ports": [{"port": 80, "targetPort": "A_b"}]},
            [
                'spec.ports[0].targetPort: Invalid value: "A_b": '
                "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)"
            ],
        ),
        (
            {"ports": [{"port": 80, "nodePort": 30080}]},
            ["spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'"],
        ),
        ({"type": "NodePort", "ports": [{"port": 80, "nodePort": 30080}]}, []),
        (
            {"type": "Magic"},
            [
                'spec.type: Unsupported value: "Magic": '
                'supported values: "ClusterIP", "ExternalName", "LoadBalancer", "NodePort"'
            ],
        ),
        (
            {"type": "NodePort", **HEADLESS},
            ["spec.clusterIPs[0]: Invalid value: \"None\": may not be set to 'None' for NodePort services"],
        ),
        ({"type": "ExternalName"}, ["spec.externalName: Required value"]),
        ({"type": "ExternalName", "externalName": "db.example.com."}, []),
        (
            {"type": "ExternalName", "externalName": "db", **ALLOCATED},
            [
                "spec.clusterIPs: Forbidden: may not be set for ExternalName services",
                "spec.ipFamilies: Forbidden: may not be set for ExternalName services",
            ],
        ),
        (
            {"clusterIP": "nope", "clusterIPs": ["nope"]},
            [
                'spec.clusterIPs[0]: Invalid value: "nope": '
                "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
            ],
        ),
        (
            {"clusterIP": "10.96.0.1", "clusterIPs": ["10.96.0.2"]},
            ['spec.clusterIPs: Invalid value: ["10.96.0.2"]: first value must match `clusterIP`'],
        ),
        (
            {**ALLOCATED, "ipFamilies": ["IPv6"]},
            [
                'spec.clusterIPs[0]: Invalid value: "10.96.0.9": '
                "expected an IPv6 value as indicated by `ipFamilies[0]`"
            ],
        ),
        (
            {"sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 90000}}},
            [
                "spec.sessionAffinityConfig.clientIP.timeoutSeconds: Invalid value: 90000: "
                "must be greater than 0 and less than 86400"
            ],
        ),
        (
            {"externalIPs": ["127.0.0.1"]},
            [
                'spec.externalIPs[0]: Invalid value: "127.0.0.1": '
                "may not be in the loopback range (127.0.0.0/8, ::1/128)"
            ],
        ),
        (
            {"externalTrafficPolicy": "Local"},
            [
                'spec.externalTrafficPolicy: Invalid value: "Local": '
                "may only be set for externally-accessible services"
            ],
        ),
        (
            {"internalTrafficPolicy": "Near"},
            [
                'spec.internalTrafficPolicy: Unsupported value: "Near": supported values: "Cluster", "Local"',
            ],
        ),
        (
            {"loadBalancerClass": "a.b/c"},
            ["spec.loadBalancerClass: Forbidden: may only be used when `type` is 'LoadBalancer'"],
        ),
        (
            {"type": "LoadBalancer", "externalTrafficPolicy": "Local"},
            [],
        ),
        (
            {"type": "LoadBalancer", "loadBalancerSourceRanges": ["10.0.0.0"]},
            [
                'spec.LoadBalancerSourceRanges[0]: Invalid value: "10.0.0.0": '
                "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"
            ],
        ),
    ],
)
def test_new_services(spec, found):
    assert texts(validation.create(SERVICES, service(**spec))) == found


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        (ALLOCATED, ALLOCATED, []),
        (ALLOCATED, {**ALLOCATED, "selector": {"app": "web-v2"}}, []),
        (
            ALLOCATED,
            {**ALLOCATED, "clusterIP": "10.96.0.1", "clusterIPs": ["10.96.0.1"]},
            ['spec.clusterIPs[0]: Invalid value: ["10.96.0.1"]: may not change once set'],
        ),
        (
            ALLOCATED,
            {"ipFamilies": ["IPv4"]},
            ["spec.clusterIPs[0]: Invalid value: []: primary clusterIP can not be unset"],
        ),
        (
            ALLOCATED,
            {**ALLOCATED, "clusterIPs": ["10.96.0.9", "fd00::9"], "ipFamilies": ["IPv4", "IPv6"]},
            [],
        ),
        (ALLOCATED, {"type": "ExternalName", "externalName": "db"}, []),
        (
            {"type": "LoadBalancer", "loadBalancerClass": "a.b/c"},
            {"type": "LoadBalancer", "loadBalancerClass": "a.b/d"},
            ['spec.loadBalancerClass: Invalid value: "a.b/d": may not change once set'],
        ),
    ],
)
def test_what_may_change_in_a_service(old, new, found):
    assert texts(validation.update(SERVICES, service(**new), service(**old))) == found
