from __future__ import annotations

from ipaddress import ip_network
from pathlib import Path

import pytest

from sampan.kubelet.network import hostnetworks, netlink
from sampan.kubelet.network.netlink import MAIN_TABLE, PROTOCOL_STATIC, Route
from sampan.kubelet.network.plan import node_plan

LINK = 7
PLAN = node_plan(0, "c", Path(), families=(4, 6), load_balancers=["192.0.2.0/24"])


def route(text: str, index: int = LINK, protocol: int = PROTOCOL_STATIC) -> Route:
    network = ip_network(text)
    return Route(network, index, MAIN_TABLE, network.version, protocol)


@pytest.mark.parametrize(
    ("found", "goes"),
    [
        (route("100.65.0.0/24"), True),
        (route("fd00:65::/64"), True),
        (route("192.0.2.0/24"), False),
        (route("100.64.0.0/24"), False),
        (route("10.244.3.0/24"), False),
        (route("fd73:616d:7000:200::/112"), False),
        (route("100.65.0.0/24", index=8), False),
        (route("100.65.0.0/24", protocol=2), False),
        (Route(None, LINK, MAIN_TABLE, 4, PROTOCOL_STATIC), False),
    ],
)
def test_a_pool_of_earlier_times_goes_and_nothing_else(found: Route, goes: bool) -> None:
    left = list(hostnetworks.left_over(PLAN, LINK, [found]))
    assert left == ([found.network] if goes else [])


def test_this_machine_has_networks() -> None:
    assert netlink.IPv4Network("127.0.0.0/8") in hostnetworks.listed()
