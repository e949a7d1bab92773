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
        (
            {
                "type": "NodePort",
                "ports": [
                    {"name": "a", "port": 80, "nodePort": 30080},
                    {"name": "b", "port": 81, "nodePort": 30080},
                ],
            },
            ["spec.ports[1].nodePort: Duplicate value: 30080"],
        ),
        (
            {
                "type": "NodePort",
                "ports": [
                    {"name": "a", "port": 53, "nodePort": 30053},
                    {"name": "b", "port": 53, "nodePort": 30053, "protocol": "UDP"},
                    {"name": "c", "port": 53, "nodePort": 30053, "protocol": "SCTP"},
                ],
            },
            [],
        ),
        (
            {"ports": [{"port": 80, "protocol": "ICMP"}]},
            ['spec.ports[0].protocol: Unsupported value: "ICMP": supported values: "SCTP", "TCP", "UDP"'],
        ),
        (
            {"clusterIP": "010.96.0.1", "clusterIPs": ["010.96.0.1"]},
            ['spec.clusterIPs[0]: Invalid value: "010.96.0.1": must not have leading 0s'],
        ),
        (
            {"clusterIPs": ["10.96.0.9"]},
            [
                'spec.clusterIPs: Invalid value: ["10.96.0.9"]: '
                "must be empty when `clusterIP` is not specified",
            ],
        ),
        (
            {"clusterIP": "None", "clusterIPs": ["None", "10.96.0.1"]},
            [
                'spec.clusterIPs: Invalid value: ["None","10.96.0.1"]: '
                "'None' must be the first and only value"
            ],
        ),
        (
            {"ipFamilies": ["IPv4", "IPv4"]},
            ['spec.ipFamilies[1]: Duplicate value: "IPv4"'],
        ),
        (
            {"ipFamilies": ["IPv5"]},
            ['spec.ipFamilies[0]: Unsupported value: "IPv5": supported values: "IPv4", "IPv6"'],
        ),
        (
            {"ipFamilyPolicy": "Dual"},
            [
                'spec.ipFamilyPolicy: Unsupported value: "Dual": supported values: "PreferDualStack", '
                '"RequireDualStack", "SingleStack"'
            ],
        ),
        (
            {"sessionAffinity": "Cookie"},
            ['spec.sessionAffinity: Unsupported value: "Cookie": supported values: "ClientIP", "None"'],
        ),
        (
            {"sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 0}}},
            [
                "spec.sessionAffinityConfig.clientIP.timeoutSeconds: Invalid value: 0: "
                "must be greater than 0 and less than 86400"
            ],
        ),
        *(
            (
                {"externalIPs": [address]},
                [f'spec.externalIPs[0]: Invalid value: "{address}": {said}'],
            )
            for address, said in (
                ("home", "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"),
                ("0.0.0.0", "may not be unspecified (0.0.0.0)"),
                ("169.254.169.254", "may not be in the link-local range (169.254.0.0/16, fe80::/10)"),
                ("::ffff:127.0.0.1", "must not be an IPv4-mapped IPv6 address"),
                (
                    "ff02::1",
                    "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)",
                ),
            )
        ),
        (
            {"trafficDistribution": "Anywhere"},
            [
                'spec.trafficDistribution: Unsupported value: "Anywhere": supported values: "PreferClose", '
                '"PreferSameNode", "PreferSameZone"'
            ],
        ),
        *(({"trafficDistribution": f"Prefer{where}"}, []) for where in ("Close", "SameZone", "SameNode")),
        (
            {"loadBalancerSourceRanges": ["10.0.0.0/8"]},
            ["spec.LoadBalancerSourceRanges: Forbidden: may only be used when `type` is 'LoadBalancer'"],
        ),
        ({"type": "LoadBalancer", "loadBalancerSourceRanges": [" 10.0.0.0/8 ", "fd00::/8"]}, []),
        (
            {"allocateLoadBalancerNodePorts": True},
            ["spec.allocateLoadBalancerNodePorts: Forbidden: may only be used when `type` is 'LoadBalancer'"],
        ),
        (
            {"healthCheckNodePort": 30000},
            [
                "spec.healthCheckNodePort: Invalid value: 30000: may only be set when `type` is "
                "'LoadBalancer' and `externalTrafficPolicy` is 'Local'"
            ],
        ),
    ],
)
def test_new_services(spec, found):
    assert texts(validation.create(SERVICES, service(**spec))) == found


RANGES = "service.beta.kubernetes.io/load-balancer-source-ranges"
MODE, HINTS = "service.kubernetes.io/topology-mode", "service.kubernetes.io/topology-aware-hints"


@pytest.mark.parametrize(
    ("annotations", "kind", "found"),
    [
        ({RANGES: "10.0.0.0/8, fd00::/8"}, "LoadBalancer", []),
        ({RANGES: " "}, "LoadBalancer", []),
        (
            {RANGES: "10.0.0.0"},
            "LoadBalancer",
            [
                f'metadata.annotations[{RANGES}]: Invalid value: "10.0.0.0": must be a valid CIDR value, '
                "(e.g. 10.9.8.0/24 or 2001:db8::/64)"
            ],
        ),
        (
            {RANGES: "10.0.0.0/8"},
            "ClusterIP",
            [f"metadata.annotations[{RANGES}]: Forbidden: may only be used when `type` is 'LoadBalancer'"],
        ),
        ({MODE: "Auto", HINTS: "Auto"}, "ClusterIP", []),
        (
            {MODE: "Auto", HINTS: "Disabled"},
            "ClusterIP",
            [
                f'metadata.annotations[{MODE}]: Invalid value: "Auto": must match annotations[{HINTS}] '
                "when both are specified"
            ],
        ),
    ],
)
def test_annotations_of_services(annotations, kind, found):
    obj = service(type=kind)
    obj["metadata"]["annotations"] = annotations
    assert texts(validation.create(SERVICES, obj)) == found


def status(kind="LoadBalancer", *ingress):
    return {**service(type=kind), "status": {"loadBalancer": {"ingress": list(ingress)}}}


@pytest.mark.parametrize(
    ("obj", "found"),
    [
        (status("LoadBalancer", {"ip": "192.0.2.1", "ipMode": "VIP"}), []),
        (status("LoadBalancer", {"hostname": "lb.example.com"}), []),
        (
            status("ClusterIP", {"ip": "192.0.2.1"}),
            ["status.loadBalancer.ingress: Forbidden: may only be used when `spec.type` is 'LoadBalancer'"],
        ),
        (
            status("LoadBalancer", {"ip": "x"}),
            [
                'status.loadBalancer.ingress[0].ip: Invalid value: "x": must be a valid IP address, '
                "(e.g. 10.9.8.7 or 2001:db8::ffff)"
            ],
        ),
        (
            status("LoadBalancer", {"hostname": "a.b", "ipMode": "VIP"}),
            ["status.loadBalancer.ingress[0].ipMode: Forbidden: may not be specified when `ip` is not set"],
        ),
        (
            status("LoadBalancer", {"hostname": "192.0.2.1"}),
            [
                'status.loadBalancer.ingress[0].hostname: Invalid value: "192.0.2.1": must be a DNS name, '
                "not an IP address"
            ],
        ),
    ],
)
def test_where_a_load_balancer_is(obj, found):
    assert texts(validation.update_status(SERVICES, obj, service(type="LoadBalancer"))) == found


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
