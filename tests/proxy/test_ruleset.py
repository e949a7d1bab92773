from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from sampan.kubelet.network import namespace
from sampan.proxy.ruleset import FamilyConstants, elements_text, fixed_elements, text, version_chain
from sampan.proxy.table import DROP, Element, Table

FOUR = FamilyConstants(4, "100.64.0.2", "10.244.0.0/24", ("10.96.0.0/16",))
SIX = FamilyConstants(6, "fd00:64::2", "fd00:244::/64", ("fd00:96::/112",))
TABLE: Table = {
    Element("fe4", ("10.96.0.20", "tcp", 80)): (1,),
    Element("np4", ("udp", 30053)): (1,),
    Element("hp4", ("127.0.0.1", "tcp", 8080)): (2,),
    Element("svc", (1,)): (40,),
    Element("ep4", (1, 0)): ("10.244.0.5", 8080),
    Element("hair4", ("10.244.0.5", "10.244.0.5")): (),
    Element("class", (40,)): ("n40",),
}


def test_packets_to_loopback_come_from_loopback_alone_though_localnet_is_routed() -> None:
    assert "ip daddr 127.0.0.0/8 iif != lo drop" in text([FOUR])
    assert "ip saddr 127.0.0.0/8 snat ip to 100.64.0.2" in text([FOUR])
    assert "snat ip to" not in text([SIX])


def test_node_ports_are_looked_for_before_host_ports() -> None:
    rules = text([FOUR])
    assert rules.index("map @fe4") < rules.index("map @np4") < rules.index("map @hp4")


def test_elements_as_nft_text() -> None:
    assert elements_text(TABLE) == (
        "add element inet sampan fe4 { 10.96.0.20 . tcp . 80 : 1 }\n"
        "add element inet sampan np4 { udp . 30053 : 1 }\n"
        "add element inet sampan hp4 { 127.0.0.1 . tcp . 8080 : 2 }\n"
        "add element inet sampan svc { 1 : 40 }\n"
        "add element inet sampan ep4 { 1 . 0 : 10.244.0.5 . 8080 }\n"
        "add element inet sampan hair4 { 10.244.0.5 . 10.244.0.5 }\n"
    )


def test_fixed_elements_are_the_prepared_classes() -> None:
    fixed = fixed_elements((40,))
    assert fixed[Element("class", (1,))] == ("n1",)
    assert fixed[Element("class", (40,))] == ("n40",)
    assert fixed[Element("class", (DROP,))] == ("dropit",)


def test_another_ruleset_has_another_version() -> None:
    assert version_chain([FOUR]) == version_chain([FOUR])
    assert version_chain([FOUR]) != version_chain([FOUR, SIX])


@pytest.mark.root
@pytest.mark.parametrize("families", [(FOUR,), (SIX,), (FOUR, SIX)], ids=["4", "6", "46"])
def test_kernel_takes_the_rules_also_over_an_older_table(
    tmp_path: Path, families: tuple[FamilyConstants, ...]
) -> None:
    pin = tmp_path / "net"
    namespace.create(pin)
    try:
        for _ in range(2):
            rules = text(families, TABLE if FOUR in families else {})
            subprocess.run(["nsenter", f"--net={pin}", "nft", "-f", "-"], input=rules, text=True, check=True)
    finally:
        namespace.unpin(pin)
