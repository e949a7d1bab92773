from __future__ import annotations

import itertools
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path

import pytest

from sampan.kubelet.network.contract import NetworkFault
from sampan.kubelet.network.netlink import Network
from sampan.kubelet.network.plan import (
    MAX_INDEX,
    MAX_NUMBER,
    free_index,
    node_plan,
    pod_addresses,
)


def test_addresses_of_an_index() -> None:
    plan = node_plan(3, "blue", Path("/run/x"))
    family = plan.families[0]
    assert [
        str(value)
        for value in (
            family.host, family.node, family.pod_cidr, family.cluster_cidr,
            family.service_cidr, family.kubernetes, family.dns, family.gateway,
        )
    ] == [
        "100.64.3.1/24", "100.64.3.2/24", "10.247.0.0/24", "10.247.0.0/16",
        "10.99.0.0/16", "10.99.0.1", "10.99.0.10", "169.254.1.1/32",
    ]  # fmt: skip
    assert (plan.host_link, plan.owner, plan.node_ips) == ("sampan3", "sampan blue", ("100.64.3.2",))


@pytest.mark.parametrize(
    ("taken", "index"),
    [
        ([], 0),
        (["0.0.0.0/0", "192.0.2.0/24"], 0),
        (["10.244.0.0/24"], 1),
        (["10.96.0.0/12"], 16),
        (["10.0.0.0/8"], None),
        (["100.64.0.0/24", "10.97.3.0/24", "10.246.0.0/16"], 3),
        (["10.96.0.10/32"], 1),
        (["100.65.0.0/28"], 1),
        (["fd73:616d:7000:300::1/128"], 1),
    ],
)
def test_first_index_without_a_clash(taken: list[str], index: int | None) -> None:
    networks = [ip_network(text) for text in taken]
    if index is None:
        with pytest.raises(NetworkFault, match="clash"):
            free_index(networks)
    else:
        assert free_index([*networks, IPv6Network("fd00::/8")]) == index


def test_what_another_cluster_keeps_is_the_last_to_be_given_away() -> None:
    assert free_index([], {0, 2}) == 1
    assert free_index([ip_network("10.97.0.0/16")], {0, 2}) == 3
    assert free_index([], range(MAX_INDEX + 1)) == 0


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("field", ["pod_cidr", "service_cidr", "load_balancers", "host"])
def test_clusters_never_overlap(version: int, field: str) -> None:
    taken: list[Network] = []
    for index in range(MAX_INDEX + 1):
        assert free_index(taken) == index
        value = getattr(node_plan(index, "c", Path(), families=[version]).families[0], field)
        taken.append(value.network if field == "host" else value[0] if field == "load_balancers" else value)
    with pytest.raises(NetworkFault):
        free_index(taken)


@pytest.mark.parametrize(
    ("index", "pods", "services"),
    [
        (11, "10.255.0.0/16", "10.107.0.0/16"),
        (12, "10.220.0.0/16", "10.108.0.0/16"),
        (35, "10.243.0.0/16", "10.131.0.0/16"),
    ],
)
def test_where_the_thirteenth_cluster_is(index: int, pods: str, services: str) -> None:
    (row,) = node_plan(index, "c", Path(), number=7).families
    assert (str(row.cluster_cidr), str(row.service_cidr)) == (pods, services)
    assert str(row.pod_cidr) == pods.replace(".0.0/16", ".7.0/24")


def test_ranges_of_a_cluster_never_overlap() -> None:
    plans = [node_plan(11, "c", Path(), families=(4, 6), number=number) for number in (0, 1, MAX_NUMBER)]
    for version in (4, 6):
        rows = [family for plan in plans for family in plan.families if family.version == version]
        assert all(row.pod_cidr.subnet_of(rows[0].cluster_cidr) for row in rows)
        assert all(row.node in rows[0].host.network for row in rows)
        apart = [row.pod_cidr for row in rows]
        apart += [rows[0].service_cidr, *rows[0].load_balancers, rows[0].host.network]
        for one, other in itertools.combinations(apart, 2):
            assert not one.overlaps(other)


def test_second_family_and_second_node() -> None:
    plan = node_plan(3, "blue", Path(), families=(6, 4), number=16)
    family = plan.families[0]
    assert [
        str(value)
        for value in (
            family.host, family.node, family.pod_cidr, family.cluster_cidr, family.service_cidr,
            family.load_balancers[0], family.kubernetes, family.dns, family.gateway,
        )
    ] == [
        "fd73:616d:7003:300::1/64", "fd73:616d:7003:300::12/64", "fd73:616d:7003:10::/64",
        "fd73:616d:7003::/56", "fd73:616d:7003:100::/112", "fd73:616d:7003:200::/112",
        "fd73:616d:7003:100::1", "fd73:616d:7003:100::a", "fe80::1/128",
    ]  # fmt: skip
    assert plan.node_ips == ("fd73:616d:7003:300::12", "100.64.3.18")
    assert plan.pod_cidrs == ("fd73:616d:7003:10::/64", "10.247.16.0/24")
    assert plan.pod_offsets == range(2, 255)


def test_macs_do_not_depend_on_the_families() -> None:
    plans = [node_plan(1, "c", Path(), families=families, number=2) for families in [(4,), (6,), (6, 4)]]
    assert {plan.node_mac.hex(":") for plan in plans} == {"0a:58:64:40:01:04"}
    assert {plan.host_mac.hex(":") for plan in plans} == {"0a:58:64:40:01:01"}
    assert {plan.pod_mac(5).hex(":") for plan in plans} == {"0a:58:0a:f5:02:05"}


def test_pods_are_smaller_by_what_vxlan_adds() -> None:
    sizes = [node_plan(0, "c", Path(), families=[version], overlay=True).mtu for version in (4, 6)]
    assert (node_plan(0, "c", Path()).mtu, *sizes) == (1500, 1450, 1430)


@pytest.mark.parametrize(("index", "number"), [(MAX_INDEX + 1, 0), (-1, 0), (0, MAX_NUMBER + 1)])
def test_no_plan_beyond_the_ranges(index: int, number: int) -> None:
    with pytest.raises(ValueError, match="is not in"):
        node_plan(index, "c", Path(), number=number)


def test_offsets_leave_out_network_gateway_and_broadcast() -> None:
    offsets = pod_addresses(IPv4Network("10.244.0.0/24"))
    assert (offsets[0], offsets[-1], len(offsets)) == (2, 254, 253)
