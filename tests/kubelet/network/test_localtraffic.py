from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, ip_address, ip_network

from harness.lab import endpoint, service, slice_of
from sampan.api.objects import Obj
from sampan.kubelet.network.localtraffic import ways

NODE_IPS = {
    "n1": (IPv4Address("100.64.0.2"), IPv6Address("fd73::2")),
    "n2": (IPv4Address("100.64.0.3"), IPv6Address("fd73::3")),
}
PORT = {"port": 80}
VIP = IPv4Network("100.65.0.7/32")


def balanced(*ips: str, policy: str = "Local") -> Obj:
    made = service("web", "10.96.0.9", PORT, type="LoadBalancer", externalTrafficPolicy=policy)
    made["status"] = {"loadBalancer": {"ingress": [{"ip": ip, "ipMode": "VIP"} for ip in ips]}}
    return made


def test_by_way_of_the_nodes_with_endpoints() -> None:
    one, two = endpoint("10.244.0.5", "n1"), endpoint("10.244.1.5", "n2")
    for endpoints, names in (([one], ["n1"]), ([two, one, one], ["n1", "n2"]), ([], None)):
        found = ways(balanced("100.65.0.7"), [slice_of("web", [PORT], *endpoints)], NODE_IPS)
        assert found == ({VIP: tuple(NODE_IPS[name][0] for name in names)} if names else {})


def test_each_family_has_its_own_endpoints() -> None:
    six = slice_of("web", [PORT], endpoint("fd73::5", "n2"), suffix="b") | {"addressType": "IPv6"}
    four = slice_of("web", [PORT], endpoint("10.244.0.5", "n1"))
    assert ways(balanced("100.65.0.7", "fd73:1::7"), [four, six], NODE_IPS) == {
        VIP: (ip_address("100.64.0.2"),),
        ip_network("fd73:1::7/128"): (ip_address("fd73::3"),),
    }


def test_those_that_serve_to_their_end_count_while_none_is_ready() -> None:
    leaving = endpoint("10.244.0.5", "n1", ready=False, serving=True, terminating=True)
    dead = endpoint("10.244.1.6", "n2", ready=False, serving=False)
    ready = endpoint("10.244.1.5", "n2")
    assert ways(balanced("100.65.0.7"), [slice_of("web", [PORT], leaving, dead)], NODE_IPS) == {
        VIP: (ip_address("100.64.0.2"),)
    }
    assert ways(balanced("100.65.0.7"), [slice_of("web", [PORT], leaving, ready)], NODE_IPS) == {
        VIP: (ip_address("100.64.0.3"),)
    }


def test_a_service_of_every_node_has_no_way_of_its_own() -> None:
    slices = [slice_of("web", [PORT], endpoint("10.244.0.5", "n1"))]
    assert ways(balanced("100.65.0.7", policy="Cluster"), slices, NODE_IPS) == {}
    assert ways(balanced(), slices, NODE_IPS) == {}


def test_external_ips_too() -> None:
    made = service("web", "10.96.0.9", PORT, externalIPs=["192.0.2.9"], externalTrafficPolicy="Local")
    found = ways(made, [slice_of("web", [PORT], endpoint("10.244.1.5", "n2"))], NODE_IPS)
    assert found == {IPv4Network("192.0.2.9/32"): (ip_address("100.64.0.3"),)}
