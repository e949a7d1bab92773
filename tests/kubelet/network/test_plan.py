from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network
from pathlib import Path

import pytest

from sampan.kubelet.network.contract import NetworkFault
from sampan.kubelet.network.plan import MAX_INDEX, free_index, node_plan, offset_of, pod_addresses


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
        (["10.96.0.0/12"], None),
        (["100.64.0.0/24", "10.97.3.0/24", "10.246.0.0/16"], 3),
        (["10.96.0.10/32"], 1),
    ],
)
def test_first_index_without_a_clash(taken: list[str], index: int | None) -> None:
    networks = [IPv4Network(text) for text in taken]
    if index is None:
        with pytest.raises(NetworkFault, match="clash"):
            free_index(networks)
    else:
        assert free_index([*networks, IPv6Network("fd00::/8")]) == index


def test_clusters_never_overlap() -> None:
    taken: list[IPv4Network] = []
    for index in range(MAX_INDEX + 1):
        assert free_index(taken) == index
        family = node_plan(index, "c", Path()).families[0]
        taken += [
            IPv4Network(str(net)) for net in (family.pod_cidr, family.service_cidr, family.host.network)
        ]
    with pytest.raises(NetworkFault):
        free_index(taken)


def test_offsets_leave_out_network_gateway_and_broadcast() -> None:
    offsets = pod_addresses(IPv4Network("10.244.0.0/24"))
    assert (offsets[0], offsets[-1], len(offsets)) == (2, 254, 253)
    assert offset_of("10.244.0.7", IPv4Network("10.244.0.0/24")) == 7
