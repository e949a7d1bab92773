from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path

import pytest

from sampan.kubelet.network.diversion import CLEAR, Outlet, inside, rules
from sampan.kubelet.network.plan import node_plan

PLAN = node_plan(0, "c", Path(), families=(4, 6))


def outlets(*, ipv6_open: bool) -> list[Outlet]:
    return [
        Outlet(4, "100.64.0.2", 1001, 2001, inside(PLAN, 4), True),
        Outlet(6, "fd73::2", 1002, 2002, inside(PLAN, 6), ipv6_open),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "10.244.9.9", "10.96.0.1", "100.64.0.7", "100.65.0.3", "127.0.0.1", "169.254.169.254", "224.0.0.251",
        "255.255.255.255", "fd73:616d:7000:7::9", "fd73:616d:7000:100::a", "fd73:616d:7000:300::1", "::1",
        "::ffff:127.0.0.1", "fe80::1", "ff02::fb",
    ],
)  # fmt: skip
def test_no_relay_leads_into_the_cluster_or_to_the_hosts_own(text: str) -> None:
    address = ip_address(text)
    assert any(address in network for network in inside(PLAN, address.version))


@pytest.mark.parametrize("text", ["198.51.100.2", "10.97.0.1", "2001:db8::1", "fd00::2"])
def test_all_else_is_outside(text: str) -> None:
    address = ip_address(text)
    assert not any(address in network for network in inside(PLAN, address.version))


def test_rules_of_two_families() -> None:
    text = rules(outlets(ipv6_open=True))
    for line in (
        'iifname "pod*" ip daddr != @inside4 meta l4proto tcp dnat ip to 100.64.0.2:1001',
        'iifname "pod*" ip6 daddr != @inside6 meta l4proto tcp dnat ip6 to [fd73::2]:1002',
        'iifname "pod*" ip daddr != @inside4 '
        "meta l4proto udp tproxy ip to :2001 meta mark set 0x80000000 accept",
        'iif "lo" meta mark & 0x80000000 != 0 ip6 daddr != @inside6 '
        "meta l4proto udp tproxy ip6 to :2002 meta mark set 0x80000000 accept",
        "ip6 daddr != @inside6 meta l4proto != { tcp, udp } reject with icmpx type admin-prohibited",
    ):
        assert line in text


def test_a_family_without_a_way_out_is_refused_whole() -> None:
    text = rules(outlets(ipv6_open=False))
    assert "ip6 daddr != @inside6 reject with icmpx type no-route" in text
    assert "dnat ip6" not in text
    assert "tproxy ip6" not in text


def test_without_tproxy_datagrams_are_refused() -> None:
    text = rules([replace(outlet, udp_port=0) for outlet in outlets(ipv6_open=True)])
    assert "tproxy" not in text
    assert "mark set" not in text
    assert "ip daddr != @inside4 meta l4proto != tcp reject with icmpx type admin-prohibited" in text


def test_the_table_of_an_earlier_version_goes() -> None:
    assert "delete table ip sampan_egress" in CLEAR
    assert rules([]).startswith(CLEAR)
