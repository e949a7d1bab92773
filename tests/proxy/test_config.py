from __future__ import annotations

from sampan.proxy.config import ProxyConfig
from sampan.proxy.ruleset import FamilyConstants


def test_each_family_has_what_is_its_own() -> None:
    config = ProxyConfig(
        "node-1",
        ("100.64.0.2", "fd00:64::2"),
        ("10.244.1.0/24", "fd00:244:1::/64"),
        ("10.96.0.0/16", "fd00:96::/112"),
        cluster_cidrs=("10.244.0.0/16", "fd00:244::/56"),
        load_balancers=("100.65.0.0/24", "fd00:65::/112"),
    )
    assert config.families == (
        FamilyConstants(
            4, "100.64.0.2", "10.244.1.0/24", ("10.96.0.0/16", "100.65.0.0/24"), ("10.244.0.0/16",)
        ),
        FamilyConstants(
            6, "fd00:64::2", "fd00:244:1::/64", ("fd00:96::/112", "fd00:65::/112"), ("fd00:244::/56",)
        ),
    )
