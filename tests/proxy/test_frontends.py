"""Every way into a service port, one row per field."""

from __future__ import annotations

import pytest

from harness.lab import service
from sampan.api.objects import Obj
from sampan.proxy.frontends import Front, front, source_ranges, ways
from sampan.proxy.keys import Frontend
from sampan.proxy.table import EXTERNAL, KEEP, LOCAL, RANGES

VIP = "10.96.0.20"
PORT = {"port": 80, "nodePort": 30080, "protocol": "UDP"}
INGRESS = [
    {"ip": "192.0.2.9"},
    {"ip": "192.0.2.8", "ipMode": "Proxy"},
    {"hostname": "x"},
    {"ip": "2001:db8::9"},
]


def listed(address: str = VIP, ingress: list[Obj] | None = None, **spec: object) -> list[str]:
    svc = service("web", address, PORT, **spec)
    svc["status"] = {"loadBalancer": {"ingress": ingress or []}}
    names = {LOCAL: "local", EXTERNAL: "external", RANGES: "ranges", KEEP: "keep"}
    family = 6 if ":" in address else 4
    return [
        f"{way.element.set} {' '.join(map(str, way.element.key))}: "
        + " ".join(name for flag, name in names.items() if way.flags & flag)
        for way in ways(svc, PORT, Frontend(address, "udp", 80), family)
    ]


CLUSTER = "fe4 10.96.0.20 udp 80: "
LOCALLY: dict[str, object] = {"externalTrafficPolicy": "Local"}


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({}, [CLUSTER]),
        ({"internalTrafficPolicy": "Local"}, [CLUSTER + "local"]),
        ({"type": "NodePort"}, [CLUSTER, "np4 udp 30080: external"]),
        ({"type": "NodePort", **LOCALLY}, [CLUSTER, "np4 udp 30080: local external keep"]),
        (
            {"externalIPs": ["203.0.113.1", "2001:db8::1"]},
            [CLUSTER, "fe4 203.0.113.1 udp 80: external"],
        ),
        (
            {"externalIPs": ["203.0.113.1"], **LOCALLY},
            [CLUSTER, "fe4 203.0.113.1 udp 80: local external keep"],
        ),
        (
            {"type": "LoadBalancer", "ingress": INGRESS},
            [CLUSTER, "np4 udp 30080: external", "fe4 192.0.2.9 udp 80: external"],
        ),
        (
            {
                "type": "LoadBalancer",
                "ingress": INGRESS,
                "loadBalancerSourceRanges": ["10.0.0.0/8"],
                **LOCALLY,
            },
            [
                CLUSTER,
                "np4 udp 30080: local external keep",
                "fe4 192.0.2.9 udp 80: local external ranges keep",
            ],
        ),
        # Addresses of a load balancer that the Service is not any more.
        ({"type": "NodePort", "ingress": INGRESS}, [CLUSTER, "np4 udp 30080: external"]),
    ],
)
def test_ways(spec: Obj, expected: list[str]) -> None:
    assert listed(**spec) == expected


def test_ways_of_the_other_family() -> None:
    six = listed("fd00::20", type="LoadBalancer", ingress=INGRESS, externalIPs=["203.0.113.1", "2001:db8::1"])
    assert six == [
        "fe6 fd00::20 udp 80: ",
        "np6 udp 30080: external",
        "fe6 2001:db8::1 udp 80: external",
        "fe6 2001:db8::9 udp 80: external",
    ]


def test_load_balancer_without_node_ports() -> None:
    port = {"port": 80, "protocol": "TCP"}
    svc = service("web", VIP, port, type="LoadBalancer", allocateLoadBalancerNodePorts=False)
    svc["status"] = {"loadBalancer": {"ingress": [{"ip": "192.0.2.9"}]}}
    found = [way.element.set for way in ways(svc, port, Frontend(VIP, "tcp", 80), 4)]
    assert found == ["fe4", "fe4"]


def test_source_ranges_do_not_overlap_and_are_of_one_family() -> None:
    ranges = ["10.0.0.0/8", " 10.1.0.0/16 ", "192.0.2.0/25", "192.0.2.128/25", "2001:db8::/32"]
    svc = service("web", VIP, type="LoadBalancer", loadBalancerSourceRanges=ranges)
    assert source_ranges(svc, 4) == ("10.0.0.0/8", "192.0.2.0/24")
    assert source_ranges(svc, 6) == ("2001:db8::/32",)
    svc["spec"]["type"] = "NodePort"
    assert source_ranges(svc, 4) == ()


def test_what_conntrack_may_remember() -> None:
    svc = service("web", VIP, PORT, type="NodePort", externalIPs=["203.0.113.1"])
    found = [front(way, 4) for way in ways(svc, PORT, Frontend(VIP, "udp", 80), 4)]
    assert found == [None, Front(4, "", 30080), Front(4, "203.0.113.1", 80)]
