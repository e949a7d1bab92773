"""Nodes: each new one is given its part of the cluster's Pod ranges.

Whoever registers without spec.podCIDRs gets the lowest number whose range nobody has, the same in every
family; who asks for ranges keeps them (upstream's `--allocate-node-cidrs`). Number 0 is the first node's,
which knows its ranges itself. What is taken is read off the Nodes there are: those of a deleted one are free.
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network, ip_network

from sampan.api import errors
from sampan.api.objects import Obj
from sampan.api.resources import NODES
from sampan.apiserver.authz import MASTERS, NODES_GROUP
from sampan.apiserver.conversion import storage_prefix
from sampan.apiserver.registry.hooks import Call, Hooks, Undo
from sampan.apiserver.watchcache import Change, Hub

Network = IPv4Network | IPv6Network

MASKS = {4: 24, 6: 64}
LARGEST_NUMBER = 199


class NodeHooks(Hooks):
    """A kubelet registers its node with its status. `cluster_cidrs`: the primary family's first, or none."""

    keeps_status_on_create = True

    def __init__(self, hub: Hub, cluster_cidrs: Sequence[str]) -> None:
        self._nodes = hub.cache(storage_prefix(NODES))
        self._nodes.listeners.append(self._changed)
        self._cidrs: list[Network] = [ip_network(cidr) for cidr in cluster_cidrs]
        self._promised: dict[str, set[str]] = {}
        """Node on its way to the store -> its ranges."""

    def reserve(self, call: Call, new: Obj, old: Obj | None) -> Undo:
        name = new["metadata"]["name"]
        if old is not None or not self._cidrs:
            return _nothing
        spec = new.setdefault("spec", {})
        taken = self._taken(name)
        asked = spec.get("podCIDRs") or ([spec["podCIDR"]] if spec.get("podCIDR") else [])
        if not asked:
            asked = ranges(self._cidrs, set(taken))
            if asked:
                spec["podCIDR"], spec["podCIDRs"] = asked[0], asked
        elif NODES_GROUP in call.user.groups and MASTERS not in call.user.groups:
            for cidr in asked:
                if (owner := taken.get(cidr)) is not None:
                    why = f'podCIDR {cidr} belongs to node "{owner}"'
                    raise errors.forbidden(call.resource, name, why)
        self._promised[name] = set(asked)
        return lambda: self._forget(name)

    def _taken(self, name: str) -> dict[str, str]:
        """Range -> its node, of all nodes but `name`."""
        taken: dict[str, str] = {}
        for entry in self._nodes.entries.values():
            owner = entry.obj["metadata"]["name"]
            if owner != name:
                taken |= dict.fromkeys((entry.obj.get("spec") or {}).get("podCIDRs") or (), owner)
        for owner, cidrs in self._promised.items():
            if owner != name:
                taken |= dict.fromkeys(cidrs, owner)
        return taken

    def _changed(self, change: Change) -> None:
        """What was on its way has arrived."""
        self._forget(change.entry.key.rpartition("/")[2])

    def _forget(self, name: str) -> None:
        self._promised.pop(name, None)


def ranges(cluster_cidrs: Sequence[Network], taken: set[str]) -> list[str]:
    """The ranges of the lowest free number, one of each family; empty if all are taken."""
    for number in range(1, LARGEST_NUMBER + 1):
        found = [part_of(cidr, number) for cidr in cluster_cidrs]
        if all(found) and not taken.intersection(found):
            return found
    return []


def part_of(cluster_cidr: Network, number: int) -> str:
    """Node `number`'s part of the Pod range, "" beyond its end."""
    mask = max(MASKS[cluster_cidr.version], cluster_cidr.prefixlen)
    if number >= 1 << (mask - cluster_cidr.prefixlen):
        return ""
    size = 1 << (cluster_cidr.max_prefixlen - mask)
    return f"{cluster_cidr.network_address + number * size}/{mask}"


def _nothing() -> None:
    return None
