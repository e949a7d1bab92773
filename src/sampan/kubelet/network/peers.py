"""What a node's kernel must know of the other nodes, from their Node objects. Pure.

Each other node is a row of values: a route to each of its Pod ranges (spec.podCIDRs) by way of its address
(InternalIP), and who that is on the wire. With an overlay the way leads over the VXLAN link instead, as
flannel lays it: one forwarding entry for the far end, one neighbour and one on-link route for each range.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from typing import TypeAlias

from sampan.api.objects import Obj, name_of
from sampan.kubelet.network.netlink import Address, Network, mac_of
from sampan.kubelet.network.plan import MAX_NUMBER, FamilyPlan, NodePlan


@dataclass(frozen=True, slots=True)
class Route:
    network: Network
    gateway: Address
    overlay: bool


@dataclass(frozen=True, slots=True)
class Neighbour:
    address: Address
    mac: bytes
    overlay: bool


@dataclass(frozen=True, slots=True)
class FarPort:
    """The VXLAN link's port `mac` is on the node at `address`."""

    address: Address
    mac: bytes


Entry: TypeAlias = Route | Neighbour | FarPort


def entries(nodes: Iterable[Obj], own: str, plan: NodePlan) -> dict[Entry, None]:
    """In the order in which they can be made. Of two nodes with one range, the elder has it."""
    others = [node for node in nodes if name_of(node) != own]
    others.sort(key=lambda node: (node["metadata"].get("creationTimestamp") or "", name_of(node)))
    found: dict[Entry, None] = {}
    taken = {family.pod_cidr for family in plan.families}
    for node in others:
        addresses = _addresses(node)
        for address in addresses.values():
            if (mac := _mac_on_lan(address, plan)) is not None:
                found[Neighbour(address, mac, overlay=False)] = None
        ranges = [network for network in _ranges(node, addresses, plan) if network not in taken]
        taken |= set(ranges)
        found |= dict.fromkeys(_ways(ranges, addresses, plan))
    return found


def far_port_mac(pod_cidr: Network) -> bytes:
    """Of the VXLAN link of the node with this range, the primary family's."""
    if pod_cidr.version == 4:
        return mac_of(pod_cidr.network_address)
    return b"\x0a\x58" + pod_cidr.network_address.packed[4:8]


def _ways(ranges: list[Network], addresses: dict[int, Address], plan: NodePlan) -> Iterator[Entry]:
    if not plan.overlay:
        for network in ranges:
            if network.version in addresses:
                yield Route(network, addresses[network.version], overlay=False)
        return
    underlay = addresses.get(plan.families[0].version)
    primary = next((network for network in ranges if network.version == plan.families[0].version), None)
    if underlay is None or primary is None:
        return
    mac = far_port_mac(primary)
    yield FarPort(underlay, mac)
    for network in ranges:
        yield Neighbour(network.network_address, mac, overlay=True)
        yield Route(network, network.network_address, overlay=True)


def _addresses(node: Obj) -> dict[int, Address]:
    """InternalIPs by their version; the first of each counts."""
    found: dict[int, Address] = {}
    for entry in (node.get("status") or {}).get("addresses") or ():
        if entry.get("type") == "InternalIP":
            address = ip_address(entry["address"])
            found.setdefault(address.version, address)
    return found


def _ranges(node: Obj, addresses: dict[int, Address], plan: NodePlan) -> Iterator[Network]:
    """Its Pods' ranges, if they are parts of the cluster's: nobody may draw other traffic to himself."""
    said = [ip_network(text) for text in (node.get("spec") or {}).get("podCIDRs") or ()]
    for family in plan.families:
        own = next((network for network in said if network.version == family.version), None)
        if own is None:
            own = _range_by_place(addresses.get(family.version), family)
        if own is not None and _lies_in(own, family.cluster_cidr):
            yield own


def _range_by_place(address: Address | None, family: FamilyPlan) -> Network | None:
    """The range that the plan has for whoever is at this address.

    A Node that was registered with one family can never say another range (podCIDRs are immutable).
    """
    number = _offset_on_lan(address, family)
    if number is None:
        return None
    size = family.pod_cidr.num_addresses
    first = family.cluster_cidr.network_address + (number - 2) * size
    return type(family.pod_cidr)((first, family.pod_cidr.prefixlen))


def _mac_on_lan(address: Address, plan: NodePlan) -> bytes | None:
    for family in plan.families:
        if family.version == address.version and (offset := _offset_on_lan(address, family)) is not None:
            return plan.uplink_mac(offset)
    return None


def _offset_on_lan(address: Address | None, family: FamilyPlan) -> int | None:
    if address is None or address not in family.host.network:
        return None
    offset = int(address) - int(family.host.network.network_address)
    return offset if 2 <= offset <= 2 + MAX_NUMBER else None


def _lies_in(network: Network, whole: Network) -> bool:
    return (
        network.version == whole.version
        and network.network_address in whole
        and (network.prefixlen >= whole.prefixlen)
    )
