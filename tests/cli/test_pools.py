from __future__ import annotations

import json
from collections.abc import Sequence
from ipaddress import ip_network
from pathlib import Path

import pytest

from sampan.cli import pools
from sampan.cli.asked import Asked, choose
from sampan.cli.cluster import Cluster
from sampan.cli.errors import UserError
from sampan.kubelet.network import hostnetworks
from sampan.kubelet.network.plan import node_plan

BOTH = (4, 6)


def test_networks_and_ranges_with_commas_between_them() -> None:
    text = "198.51.100.0/24, 192.0.2.9-192.0.2.12,fd00:65::10-fd00:65::1f"
    chosen = pools.parse(text)
    assert chosen == ["198.51.100.0/24", "192.0.2.9-192.0.2.12", "fd00:65::10-fd00:65::1f"]
    assert pools.networks(chosen) == [
        "198.51.100.0/24", "192.0.2.9/32", "192.0.2.10/31", "192.0.2.12/32", "fd00:65::10/124",
    ]  # fmt: skip
    assert pools.parse("") == []


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("home", "'home'"),
        ("192.0.2.1/24", "host bits set"),
        ("192.0.2.9-192.0.2.1", "'192.0.2.9-192.0.2.1'"),
        ("192.0.2.9-fd00::1", "of one family"),
        ("192.0.2.9-", "'192.0.2.9-'"),
        ("127.0.0.0/24", "lead nowhere else"),
        ("224.0.0.0/24", "lead nowhere else"),
        ("192.0.2.0/24,192.0.2.9-192.0.2.10", "192.0.2.0/24 and 192.0.2.9-192.0.2.10 overlap"),
    ],
)
def test_what_is_no_pool_is_told(text: str, why: str) -> None:
    with pytest.raises(UserError, match=why):
        pools.parse(text)


def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *host: str, index: int | None = None) -> Cluster:
    monkeypatch.setattr(hostnetworks, "listed", lambda besides="": [ip_network(text) for text in host])
    cluster = Cluster("one", tmp_path)
    if index is not None:
        cluster.address_plan.write_text(json.dumps({"index": index}))
    return cluster


@pytest.mark.parametrize(
    ("pool", "families", "why"),
    [
        ("10.246.7.0/24", BOTH, r"10\.246\.7\.0/24 overlaps 10\.246\.0\.0/16, which the Pods of 'one' have"),
        ("10.98.0.9-10.98.0.10", BOTH, r"overlaps 10\.98\.0\.0/16, which the Services of 'one' have"),
        ("100.64.2.64/26", BOTH, "which the nodes of 'one' have"),
        ("fd73:616d:7002:100::/120", BOTH, "which the Services of 'one' have"),
        ("192.0.2.64/26", BOTH, r"overlaps 192\.0\.2\.0/24, which this machine routes already"),
        ("fd00:65::/64", (4,), "the cluster has no IPv6"),
    ],
)
def test_a_pool_that_meets_another_range_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pool: str, families: Sequence[int], why: str
) -> None:
    cluster = place(tmp_path, monkeypatch, "192.0.2.0/24", "0.0.0.0/0", index=2)
    with pytest.raises(UserError, match=why):
        pools.check(cluster, [pool], families)
    pools.check(cluster, ["198.51.100.0/24", "100.65.9.0/24", "10.245.0.0/16"], families)


def test_a_new_cluster_makes_room_for_the_pools_it_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = place(tmp_path, monkeypatch)
    pools.check(cluster, ["10.244.8.0/24"], BOTH)
    with pytest.raises(UserError, match="clash"):
        pools.check(cluster, ["10.0.0.0/8"], BOTH)


def test_a_family_of_which_none_is_chosen_keeps_its_own(tmp_path: Path) -> None:
    plan = node_plan(1, "one", tmp_path, families=BOTH, load_balancers=["192.0.2.9/32"])
    assert plan.load_balancers == ("192.0.2.9/32", "fd73:616d:7001:200::/112")
    assert pools.all_of(["192.0.2.9-192.0.2.9"], plan) == ["192.0.2.9-192.0.2.9", "fd73:616d:7001:200::/112"]
    assert pools.defaults(plan) == ["100.65.1.0/24", "fd73:616d:7001:200::/112"]


def test_pools_are_kept_and_earlier_ones_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = place(tmp_path, monkeypatch)
    for said, now, former in [
        (["192.0.2.0/24"], ["192.0.2.0/24"], []),
        (None, ["192.0.2.0/24"], ["192.0.2.0/24"]),
        (["198.51.100.0/24"], ["198.51.100.0/24"], ["192.0.2.0/24"]),
        ([], [], ["192.0.2.0/24", "198.51.100.0/24"]),
    ]:
        kept = choose(cluster, Asked(load_balancers=said), 1)
        assert (kept.load_balancers, kept.former_pools) == (now, former)
