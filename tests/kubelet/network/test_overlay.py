from __future__ import annotations

from pathlib import Path

from sampan.kubelet.network import overlay
from sampan.kubelet.network.plan import node_plan
from sampan.proxy import table

PLAN = node_plan(0, "c", Path(), families=(4, 6), number=1, overlay=True)


def test_marks_are_those_of_the_services_rules() -> None:
    assert (overlay.EXTERNAL, overlay.KEEP) == (table.EXTERNAL, table.KEEP)


def test_whose_answers_would_come_back_by_another_way_gets_an_address_of_this_way() -> None:
    text = overlay.rules(PLAN)
    for line in (
        'oifname "vx0" ip saddr != 10.244.0.0/16 snat ip to 10.244.1.0',
        'oifname "vx0" meta nfproto ipv4 ct mark & 0xa000000 == 0x2000000 snat ip to 10.244.1.0',
        'oifname "uplink" ip saddr 10.244.0.0/16 ip daddr != 100.64.0.1 snat ip to 100.64.0.3',
        'oifname "uplink" ip6 saddr fd73:616d:7000::/56 ip6 daddr != fd73:616d:7000:300::1 '
        "snat ip6 to fd73:616d:7000:300::3",
    ):
        assert f"{line}\n" in text
