"""Exact bytes of rtnetlink requests; checked once against what ip(8) sends."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network

import pytest

from sampan.kubelet.network import devices, netlink

GOLDEN = {
    "add_address": (
        netlink.add_address(IPv4Interface("10.244.0.5/32"), 100),
        # family 2, /32, scope global, index 100; IFA_LOCAL and IFA_ADDRESS
        20, 0x505, "0220000064000000" "08000200 0af40005" "08000100 0af40005",
    ),
    "add_address_6": (
        netlink.add_address(IPv6Interface("fd00::5/128"), 7),
        20, 0x505, "0a80020007000000"
        "14000200 fd000000000000000000000000000005" "14000100 fd000000000000000000000000000005",
    ),
    "default_route": (
        netlink.add_route(IPv4Network("0.0.0.0/0"), 100, gateway=IPv4Address("169.254.1.1")),
        24, 0x505, "02000000fe040001 00000000" "08000500 a9fe0101" "08000400 64000000",
    ),
    "pod_route": (
        netlink.add_route(
            IPv4Network("10.244.0.5/32"), 1005, source=IPv4Address("100.64.0.2"), scope=253, replace=False
        ),
        24, 0x605, "02200000fe04fd01 00000000" "08000100 0af40005" "08000700 64400002" "08000400 ed030000",
    ),
    "unreachable": (
        netlink.add_route(IPv4Network("10.244.0.0/24"), kind=netlink.UNREACHABLE),
        24, 0x505, "02180000fe040007 00000000" "08000100 0af40000",
    ),
    "delete_route": (
        netlink.delete_route(IPv4Network("10.244.0.5/32")),
        25, 0x5, "02200000fe00ff00 00000000" "08000100 0af40005",
    ),
    "add_neighbour": (
        netlink.add_neighbour(IPv4Address("10.244.0.5"), bytes.fromhex("0a580af40005"), 1005),
        28, 0x505, "02000000 ed030000 8000 00 00" "08000100 0af40005" "0a000200 0a580af40005 0000",
    ),
    "add_route onlink": (
        netlink.add_route(
            IPv4Network("10.244.1.0/24"), 9, gateway=IPv4Address("10.244.1.0"), protocol=83, on_link=True
        ),
        24, 0x505, "02 18 00 00 fe 53 00 01 04000000"
        "08000100 0af40100" "08000500 0af40100" "08000400 09000000",
    ),
    "delete_neighbour": (
        netlink.delete_neighbour(IPv6Address("fe80::2"), 7), 29, 0x5,
        "0a000000 07000000 8000 00 00" "14000100 fe800000000000000000000000000002",
    ),
    "add_far_port": (
        netlink.add_far_port(IPv4Address("100.64.0.3"), bytes.fromhex("0a580af40100"), 9),
        28, 0x505, "07000000 09000000 8000 02 00" "08000100 64400003" "0a000200 0a580af40100 0000",
    ),
    "add_spread_route": (
        netlink.add_spread_route(
            IPv4Network("100.65.0.7/32"), 9, [IPv4Address("100.64.0.2"), IPv4Address("100.64.0.4")], 83
        ),
        24, 0x505, "02 20 00 00 fe 53 00 01 00000000" "08000100 64410007" "24000900"
        "1000 00 00 09000000" "08000500 64400002" "1000 00 00 09000000" "08000500 64400004",
    ),
    "add_mark_rule": (
        netlink.add_mark_rule(6, 0x80000000, 100), 32, 0x605,
        "0a 00 00 00 64 00 00 01 00000000" "08000a00 00000080" "08001000 00000080",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", GOLDEN)
def test_request_bytes(name: str) -> None:
    request, kind, flags, body = GOLDEN[name]
    assert (request.kind, request.flags) == (kind, flags)
    assert request.body.hex() == body.replace(" ", "")


def test_batch_is_numbered_and_read_back() -> None:
    requests = [devices.raise_link(1), devices.delete_link(5)]
    replies = list(netlink.unpack(netlink.pack(requests, 7)))
    assert [(r.kind, r.sequence) for r in replies] == [(19, 7), (17, 8)]
    assert [r.body for r in replies] == [request.body for request in requests]


def test_error_with_text_of_the_kernel() -> None:
    text = netlink.attribute(1, b"Invalid prefix\0")
    body = (-22).to_bytes(4, "little", signed=True) + netlink.HEADER.pack(40, 24, 0, 1, 0) + text
    assert netlink.error_of(netlink.Reply(2, 0x300, 1, body)) == (22, "Invalid prefix")


def test_acknowledgement_is_error_zero() -> None:
    body = bytes(4) + netlink.HEADER.pack(40, 24, 0, 1, 0)
    assert netlink.error_of(netlink.Reply(2, 0x100, 1, body)) == (0, "")


def test_address_and_route_of_a_dump() -> None:
    address = netlink.add_address(IPv4Interface("10.1.2.3/24"), 4)
    assert netlink.addresses([netlink.Reply(20, 0, 1, address.body)]) == [(IPv4Network("10.1.2.0/24"), 4)]
    route = netlink.add_route(IPv6Network("fd00::/8"), 3)
    assert netlink.routes([netlink.Reply(24, 0, 1, route.body)]) == [
        netlink.Route(IPv6Network("fd00::/8"), 3, netlink.MAIN_TABLE, 6, netlink.PROTOCOL_STATIC)
    ]


def test_mac_follows_from_the_address() -> None:
    assert netlink.mac_of(IPv4Address("10.244.0.5")).hex(":") == "0a:58:0a:f4:00:05"
