"""The addresses that load balancers get, as `up --load-balancer-pool` names them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from ipaddress import ip_address, ip_network, summarize_address_range
from itertools import combinations
from pathlib import Path

from sampan.cli.cluster import Cluster, kept_plans
from sampan.cli.errors import UserError
from sampan.kubelet.network import hostnetworks
from sampan.kubelet.network.contract import NetworkFault
from sampan.kubelet.network.netlink import Address, Network
from sampan.kubelet.network.plan import NodePlan, free_index, node_plan, overlap

OPTION = "--load-balancer-pool"
_ADVICE = f"For instance: {OPTION} 198.51.100.0/24,fd00:65::10-fd00:65::1f"


def parse(text: str) -> list[str]:
    """Networks and ranges with commas between them; "" for none."""
    found = []
    for word in filter(None, map(str.strip, text.split(","))):
        try:
            found.append(_parsed(word))
        except ValueError as error:
            raise UserError(f"{OPTION} {word!r}: {error}", _ADVICE) from error
    for one, other in combinations(found, 2):
        if any(overlap(mine, its) for mine in _networks(one) for its in _networks(other)):
            raise UserError(f"{OPTION}: {one} and {other} overlap", "Name each address once.")
    return found


def networks(pools: Iterable[str]) -> list[str]:
    """Networks that have all addresses of these pools, and no others."""
    return [str(network) for pool in pools for network in _networks(pool)]


def check(cluster: Cluster, pools: Sequence[str], families: Sequence[int]) -> None:
    """Raises UserError unless these addresses are free for the cluster, which may not exist yet."""
    wanted = [(pool, network) for pool in pools for network in _networks(pool)]
    for pool, network in wanted:
        if network.version not in families:
            raise UserError(f"{OPTION} {pool}: the cluster has no IPv{network.version}", "See --ip-families.")
    try:
        plan = _plan(cluster, [network for _, network in wanted], families)
    except NetworkFault as fault:
        raise UserError(f"{OPTION} {','.join(pools)}: {fault}", _ADVICE) from fault
    others = [
        (network, "this machine routes already") for network in hostnetworks.listed(besides=plan.host_link)
    ]
    for row in plan.families:
        others += [
            (row.cluster_cidr, f"the Pods of {cluster.name!r} have"),
            (row.service_cidr, f"the Services of {cluster.name!r} have"),
            (row.host.network, f"the nodes of {cluster.name!r} have"),
        ]
    for pool, network in wanted:
        for other, whose in others:
            if other.prefixlen and overlap(network, other):
                raise UserError(f"{OPTION} {pool} overlaps {other}, which {whose}", "Name another range.")


def all_of(chosen: Sequence[str], plan: NodePlan) -> list[str]:
    """Those chosen, and the plan's own of families of which none was chosen."""
    named = {ip_network(network).version for network in networks(chosen)}
    return [*chosen, *(text for text in plan.load_balancers if ip_network(text).version not in named)]


def defaults(plan: NodePlan) -> list[str]:
    """The pools that the cluster has if nothing is chosen."""
    families = [row.version for row in plan.families]
    return list(node_plan(plan.index, plan.name, plan.pin, families=families).load_balancers)


def _plan(cluster: Cluster, wanted: Iterable[Network], families: Sequence[int]) -> NodePlan:
    """The plan that it has, or the one that it would get."""
    try:
        index = int(json.loads(cluster.address_plan.read_text())["index"])
    except (OSError, ValueError, LookupError, TypeError):
        index = free_index([*hostnetworks.listed(), *wanted], kept_plans(cluster))
    return node_plan(index, cluster.name, Path(), families=families)


def _parsed(word: str) -> str:
    first, dash, last = word.partition("-")
    if not dash:
        found: list[Network] = [ip_network(word)]
    else:
        found = list(_between(ip_address(first), ip_address(last)))
    for network in found:
        if network.is_loopback or network.is_multicast or network.is_link_local or network.is_unspecified:
            raise ValueError("such addresses lead nowhere else")
    return f"{ip_address(first)}-{ip_address(last)}" if dash else str(found[0])


def _networks(pool: str) -> list[Network]:
    first, dash, last = pool.partition("-")
    return list(_between(ip_address(first), ip_address(last))) if dash else [ip_network(pool)]


def _between(first: Address, last: Address) -> Iterable[Network]:
    if first.version != last.version:
        raise ValueError("a range is of one family")
    return summarize_address_range(first, last)
