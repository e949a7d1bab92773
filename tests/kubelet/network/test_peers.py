from __future__ import annotations

from ipaddress import ip_address, ip_network
from pathlib import Path

from sampan.api.objects import Obj
from sampan.kubelet.network.peers import Entry, FarPort, Neighbour, Route, entries, far_port_mac
from sampan.kubelet.network.plan import node_plan

PLAN = node_plan(0, "c", Path(), families=(4, 6))
OVERLAY = node_plan(0, "c", Path(), families=(4, 6), overlay=True)
SECOND = (
    Neighbour(ip_address("100.64.0.3"), bytes.fromhex("0a5864400003"), False),
    Neighbour(ip_address("fd73:616d:7000:300::3"), bytes.fromhex("0a5864400003"), False),
)


def node(
    name: str, ips: tuple[str, ...], cidrs: tuple[str, ...], created: str = "2026-01-01T00:00:00Z"
) -> Obj:
    return {
        "metadata": {"name": name, "creationTimestamp": created},
        "spec": {"podCIDRs": list(cidrs)},
        "status": {"addresses": [{"type": "InternalIP", "address": ip} for ip in ips]},
    }


TWO = node("two", ("100.64.0.3", "fd73:616d:7000:300::3"), ("10.244.1.0/24", "fd73:616d:7000:1::/64"))


def route(network: str, gateway: str) -> Entry:
    return Route(ip_network(network), ip_address(gateway), False)


def test_every_other_node_is_a_way_for_each_family() -> None:
    own = node("one", ("100.64.0.2",), ("10.244.0.0/24",))
    assert list(entries([own, TWO], "one", PLAN)) == [
        *SECOND,
        route("10.244.1.0/24", "100.64.0.3"),
        route("fd73:616d:7000:1::/64", "fd73:616d:7000:300::3"),
    ]


def test_over_vxlan_there_is_one_port_and_a_neighbour_for_each_range() -> None:
    mac = bytes.fromhex("0a580af40100")
    assert list(entries([TWO], "one", OVERLAY)) == [
        *SECOND,
        FarPort(ip_address("100.64.0.3"), mac),
        Neighbour(ip_address("10.244.1.0"), mac, True),
        Route(ip_network("10.244.1.0/24"), ip_address("10.244.1.0"), True),
        Neighbour(ip_address("fd73:616d:7000:1::"), mac, True),
        Route(ip_network("fd73:616d:7000:1::/64"), ip_address("fd73:616d:7000:1::"), True),
    ]


def test_ports_of_nodes_with_ipv6_alone_differ() -> None:
    macs = [far_port_mac(node_plan(k, "c", Path(), families=(6,), number=i).families[0].pod_cidr) for k, i in
            ((0, 0), (0, 1), (1, 0))]  # fmt: skip
    assert len(set(macs)) == 3


def test_a_node_from_before_the_second_family_has_the_range_of_its_place() -> None:
    old = node("two", ("100.64.0.3", "fd73:616d:7000:300::3"), ("10.244.1.0/24",))
    assert list(entries([old], "one", PLAN)) == list(entries([TWO], "one", PLAN))


def test_a_node_elsewhere_is_no_neighbour_on_the_lan() -> None:
    far = node("far", ("192.0.2.7",), ("10.244.9.0/24",))
    assert list(entries([far], "one", PLAN)) == [route("10.244.9.0/24", "192.0.2.7")]


def test_what_is_not_of_the_cluster_draws_no_traffic() -> None:
    for cidr in ("0.0.0.0/0", "10.96.0.0/16", "10.244.0.0/15", "192.0.2.0/24"):
        greedy = node("far", ("192.0.2.7",), (cidr,))
        assert list(entries([greedy], "one", PLAN)) == []


def test_own_range_and_that_of_an_elder_node_are_left_alone() -> None:
    elder = node("z", ("192.0.2.7",), ("10.244.9.0/24",), "2025-01-01T00:00:00Z")
    younger = node("a", ("192.0.2.8",), ("10.244.9.0/24",))
    thief = node("b", ("192.0.2.9",), ("10.244.0.0/24",))
    assert list(entries([younger, thief, elder], "one", PLAN)) == [route("10.244.9.0/24", "192.0.2.7")]


def test_a_node_that_has_not_said_anything_yet() -> None:
    assert list(entries([{"metadata": {"name": "two"}}], "one", PLAN)) == []
    assert list(entries([node("two", (), ("10.244.1.0/24",))], "one", OVERLAY)) == []
