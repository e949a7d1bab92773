from __future__ import annotations

import socket
import struct
from ipaddress import ip_address

import pytest

from sampan.proxy.frontends import Front
from sampan.proxy.nfnetlink import Reply, attribute, nested
from sampan.proxy.rules import Flows
from sampan.proxy.staleflows import LISTED, Touching, Wanted, forget_one, of_endpoint, of_front


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


def listed(source: str, to: tuple[str, int], server: tuple[str, int], mark: int) -> Reply:
    """A flow as the kernel lists it."""
    number = ip_address(source).version
    places = {4: (1, 2), 6: (3, 4)}[number]

    def one_way(which: int, here: tuple[str, int], there: tuple[str, int]) -> bytes:
        ends = (ip_address(here[0]).packed, ip_address(there[0]).packed)
        addresses = b"".join(attribute(place, end) for place, end in zip(places, ends, strict=True))
        ports = b"".join(attribute(n, struct.pack(">H", end[1])) for n, end in ((2, here), (3, there)))
        return nested(which, nested(1, addresses) + nested(2, attribute(1, bytes([17])) + ports))

    body = one_way(1, (source, 4000), to) + one_way(2, server, (source, 4000))
    family = {4: socket.AF_INET, 6: socket.AF_INET6}[number]
    return Reply(LISTED, 0, 0, False, bytes([family, 0, 0, 0]) + body + attribute(8, struct.pack(">I", mark)))


VIP, SERVER = ("10.96.0.20", 53), ("10.244.0.5", 5353)
FLOW = listed("10.244.0.9", VIP, SERVER, 7 | 0x01000000)
SIX = listed("fd00::9", ("fd00:96::20", 53), ("fd00::5", 5353), 8)


@pytest.mark.parametrize(
    ("flows", "fronts", "expected"),
    [
        ([Flows(7, *SERVER)], [], [FLOW]),
        ([Flows(7)], [], [FLOW]),
        ([Flows(8, "fd00::5", 5353)], [], [SIX]),
        ([Flows(6), Flows(7, "10.244.0.6", 5353), Flows(7, "10.244.0.5", 53), Flows(8, *SERVER)], [], []),
        ([], [Front(4, "10.96.0.20", 53)], [FLOW]),
        ([], [Front(6, "fd00:96::20", 53)], [SIX]),
        ([], [Front(4, "", 53)], [FLOW]),
        ([], [Front(4, "", 5353), Front(4, "10.244.0.5", 5353), Front(6, "fd00:96::21", 53)], []),
    ],
)
def test_many_wishes_against_a_listing(
    flows: list[Flows], fronts: list[Front], expected: list[Reply]
) -> None:
    wanted = Wanted(flows, fronts)
    assert [flow for flow in (FLOW, SIX) if wanted.means(flow)] == expected


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("10.244.0.9", [FLOW]),
        (SERVER[0], [FLOW]),
        (VIP[0], []),
        ("fd00::9", [SIX]),
        ("fd00::5", [SIX]),
        ("fd00:96::20", []),
    ],
)
def test_flows_that_an_address_has_part_in(address: str, expected: list[Reply]) -> None:
    touching = Touching([address])
    assert [flow for flow in (FLOW, SIX) if touching.means(flow)] == expected
    assert touching.versions == {6 if ":" in address else 4}


def test_flow_that_was_listed_is_dropped_by_what_it_was_sent_to() -> None:
    message = forget_one(FLOW).hex(" ", -4)
    assert message.startswith("48000000 02010500 00000000 00000000 02000000 34000180")
    assert ip_address(VIP[0]).packed.hex() in message
