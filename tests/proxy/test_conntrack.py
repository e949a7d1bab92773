from __future__ import annotations

from sampan.proxy.conntrack import forget_endpoint, forget_node_port
from sampan.proxy.rules import Flows


def test_flows_of_a_service_port_to_one_endpoint() -> None:
    assert forget_endpoint(Flows(7, "10.244.0.5", 53)).hex(" ", -4) == (
        "5c000000 02010500 00000000 00000000 02000000"
        " 08000800 00000007 08001500 00ffffff"
        " 24000280 0c000180 08000100 0af40005"
        " 14000280 05000100 11000000 06000200 00350000"
        " 14001980 08000100 00000000 08000200 19000000"
    )


def test_flows_to_a_port_before_it_was_a_node_port() -> None:
    assert forget_node_port(4, 30053).hex(" ", -4) == (
        "40000000 02010500 00000000 00000000 02000000"
        " 18000180 14000280 05000100 11000000 06000300 75650000"
        " 14001980 08000100 28000000 08000200 00000000"
    )
