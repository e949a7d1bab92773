from __future__ import annotations

import copy

import pytest

from sampan.apiserver.registry.servicechange import carry_over, pair_cluster_ips

GIVEN = {"clusterIP": "10.96.0.7", "clusterIPs": ["10.96.0.7"], "ipFamilies": ["IPv4"]}


def ports(**node_ports):
    return [{"name": name, "port": 80, "nodePort": number} for name, number in node_ports.items()]


def changed(new, old):
    new = copy.deepcopy(new)
    carry_over(new, old)
    return new


def test_addresses_and_node_ports_stay_if_nothing_is_said() -> None:
    old = {"type": "NodePort", **GIVEN, "ports": ports(a=30001, b=30002)}
    new = changed({"type": "NodePort", "ports": [{"name": "b", "port": 81}, {"name": "c", "port": 82}]}, old)
    assert new["clusterIP"] == "10.96.0.7" and new["clusterIPs"] == ["10.96.0.7"]
    assert [port.get("nodePort") for port in new["ports"]] == [30002, None]


def test_a_node_port_that_another_port_asks_for_is_not_kept() -> None:
    old = {"type": "NodePort", "ports": ports(a=30001)}
    new = changed({"type": "NodePort", "ports": [{"name": "a", "port": 80}, *ports(b=30001)]}, old)
    assert [port.get("nodePort") for port in new["ports"]] == [None, 30001]


@pytest.mark.parametrize(
    ("old", "new", "gone"),
    [
        (
            {"type": "ClusterIP", **GIVEN, "ipFamilyPolicy": "SingleStack"},
            {"type": "ExternalName", **GIVEN, "ipFamilyPolicy": "SingleStack"},
            {"clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"},
        ),
        (
            {"type": "NodePort", "externalTrafficPolicy": "Local"},
            {"type": "ClusterIP", "externalTrafficPolicy": "Local"},
            {"externalTrafficPolicy"},
        ),
        (
            {"type": "NodePort", "externalTrafficPolicy": "Local"},
            {"type": "ClusterIP", "externalTrafficPolicy": "Local", "externalIPs": ["192.0.2.1"]},
            set(),
        ),
        (
            {"type": "NodePort", "externalTrafficPolicy": "Local"},
            {"type": "ClusterIP", "externalTrafficPolicy": "Cluster"},
            set(),  # set anew: validation has something to say
        ),
        (
            {
                "type": "LoadBalancer",
                "externalTrafficPolicy": "Local",
                "healthCheckNodePort": 30009,
                "allocateLoadBalancerNodePorts": True,
                "loadBalancerClass": "a/b",
            },
            {
                "type": "NodePort",
                "externalTrafficPolicy": "Local",
                "healthCheckNodePort": 30009,
                "allocateLoadBalancerNodePorts": True,
                "loadBalancerClass": "a/b",
            },
            {"healthCheckNodePort", "allocateLoadBalancerNodePorts", "loadBalancerClass"},
        ),
        (
            {"type": "LoadBalancer", "externalTrafficPolicy": "Local", "healthCheckNodePort": 30009},
            {"type": "LoadBalancer", "externalTrafficPolicy": "Cluster", "healthCheckNodePort": 30009},
            {"healthCheckNodePort"},
        ),
    ],
)
def test_what_only_the_former_type_needed_goes_with_it(old, new, gone) -> None:
    assert set(new) - set(changed(new, old)) == gone


def test_node_ports_go_with_the_type_unless_they_were_changed() -> None:
    old = {"type": "NodePort", "ports": ports(a=30001)}
    assert changed({**old, "type": "ClusterIP"}, old)["ports"] == [{"name": "a", "port": 80}]
    asked = {"type": "ClusterIP", "ports": ports(a=30002)}
    assert changed(asked, old)["ports"] == ports(a=30002)


def test_a_health_check_port_stays_while_it_is_needed() -> None:
    old = {"type": "LoadBalancer", "externalTrafficPolicy": "Local", "healthCheckNodePort": 30009}
    new = changed({"type": "LoadBalancer", "externalTrafficPolicy": "Local"}, old)
    assert new["healthCheckNodePort"] == 30009


@pytest.mark.parametrize(
    ("given", "old", "several"),
    [
        ({"clusterIP": "10.96.0.7"}, None, ["10.96.0.7"]),
        ({"clusterIPs": ["10.96.0.7"]}, None, ["10.96.0.7"]),
        ({"clusterIP": "None", "clusterIPs": ["10.96.0.7"]}, GIVEN, ["None"]),
        ({"clusterIP": "", "clusterIPs": ["10.96.0.7"]}, GIVEN, None),
        ({"clusterIP": "10.96.0.8", "clusterIPs": ["10.96.0.9"]}, GIVEN, ["10.96.0.9"]),
    ],
)
def test_who_writes_one_of_the_two_address_fields_means_both(given, old, several) -> None:
    pair_cluster_ips(given, old)
    assert given.get("clusterIPs") == several
