from __future__ import annotations

from sampan.proxy.conntrack import of_endpoint, of_front
from sampan.proxy.frontends import Front
from sampan.proxy.rules import Flows


def test_flows_of_a_service_port_to_one_endpoint() -> None:
    assert of_endpoint(Flows(7, "10.244.0.5", 53)).bytes.hex(" ", -4) == (
        "5c000000 02010500 00000000 00000000 02000000"
        " 08000800 00000007 08001500 00ffffff"
        " 24000280 0c000180 08000100 0af40005"
        " 14000280 05000100 11000000 06000200 00350000"
        " 14001980 08000100 00000000 08000200 19000000"
    )


def test_all_flows_of_a_service_port() -> None:
    assert of_endpoint(Flows(7)).bytes.hex(" ", -4) == (
        "24000000 02010500 00000000 00000000 00000000 08000800 00000007 08001500 00ffffff"
    )


def test_ipv6_flows_are_listed_and_chosen_because_the_kernel_would_take_the_others() -> None:
    request = of_endpoint(Flows(7, "fd00::5", 53))
    assert request.bytes.hex(" ", -4) == (
        "50000000 01010103 00000000 00000000 0a000000"
        " 08000800 00000007 08001500 00ffffff"
        " 18000280 14000280 05000100 11000000 06000200 00350000"
        " 14001980 08000100 00000000 08000200 18000000"
    )
    asked = of_front(Front(6, "2001:db8::1", 53))
    assert asked.address == bytes.fromhex("20010db8000000000000000000000001")
    assert not of_front(Front(6, "", 30053)).address


def test_flows_to_a_port_before_it_was_a_node_port() -> None:
    assert of_front(Front(4, "", 30053)).bytes.hex(" ", -4) == (
        "40000000 02010500 00000000 00000000 02000000"
        " 18000180 14000280 05000100 11000000 06000300 75650000"
        " 14001980 08000100 28000000 08000200 00000000"
    )


def test_flows_to_an_address_that_is_a_services_no_more() -> None:
    assert of_front(Front(4, "100.65.0.1", 53)).bytes.hex(" ", -4) == (
        "4c000000 02010500 00000000 00000000 02000000"
        " 24000180 0c000180 08000200 64410001"
        " 14000280 05000100 11000000 06000300 00350000"
        " 14001980 08000100 2a000000 08000200 00000000"
    )
