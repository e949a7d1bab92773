"""The address plan of a node: pure values and the choice of a cluster index that clashes with nothing.

Index k of a machine's clusters, node i of the cluster (the first is 0):

|                | IPv4              | IPv6, below fd73:616d:70KK::/48 (KK is k in hex) |
|----------------|-------------------|--------------------------------------------------|
| Pods           | 10.(244+k).0.0/16 | :0::/56                                          |
| Pods of node i | 10.(244+k).i.0/24 | :i::/64                                          |
| Services       | 10.(96+k).0.0/16  | :100::/112                                       |
| load balancers | 100.65.k.0/24     | :200::/112                                       |
| uplink         | 100.64.k.0/24     | :300::/64                                        |

From k = 12 on, Pods are in 10.(208+k).0.0/16: below those of the first twelve.
On the uplink the host has .1 and node i has .(2+i); Services begin with `kubernetes`, the tenth is the DNS.
IPv6 addresses are unique local ones (RFC 4193). The global ID is not drawn at random as it should be for a
network that may be merged with another's: these never leave the machine, and `free_index` keeps clusters and
the machine's own networks apart. Families are rows: a second one is a row and not a branch.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Interface, IPv6Network, ip_network
from pathlib import Path
from typing import TypedDict, Unpack

from sampan.kubelet.network.contract import NetworkFault
from sampan.kubelet.network.netlink import Address, Interface, Network, mac_of

MAX_INDEX = 35
_OCTETS_UP = 12
"""10.(244+k) ends at 10.255; the rest come below 10.244, and end above the Services."""
MAX_NUMBER = 199
UNDERLAY_MTU = 1500
_VXLAN_OVERHEAD: Mapping[int, int] = {4: 50, 6: 70}
"""Outer Ethernet, IP, UDP and VXLAN headers by the family of the nodes' addresses (RFC 7348)."""
_OFFSETS_END = 1 << 16
_SITE_LENGTH = 32
_ULA = 0xFD73616D7000 << 80
"""fd, then `samp`."""


@dataclass(frozen=True, slots=True)
class FamilyPlan:
    """One address family of a node. `pod_cidr` is this node's part of `cluster_cidr`."""

    host: Interface
    node: Interface
    pod_cidr: Network
    cluster_cidr: Network
    service_cidr: Network
    load_balancers: tuple[Network, ...]
    kubernetes: Address
    dns: Address

    @property
    def version(self) -> int:
        return self.node.version

    @property
    def gateway(self) -> Interface:
        """What every Pod sees as its next hop; link-local, the same on each veth."""
        return POD_GATEWAYS[self.node.version]

    @property
    def default(self) -> Network:
        return DEFAULT_ROUTES[self.node.version]


POD_GATEWAYS: Mapping[int, Interface] = {4: IPv4Interface("169.254.1.1/32"), 6: IPv6Interface("fe80::1/128")}
GATEWAY_MAC = mac_of(POD_GATEWAYS[4].ip)
DEFAULT_ROUTES: Mapping[int, Network] = {4: IPv4Network("0.0.0.0/0"), 6: IPv6Network("::/0")}


@dataclass(frozen=True, slots=True)
class NodePlan:
    """Everything a node's namespace needs to know. `families`: the primary one first.

    `lan` is where the namespace of the cluster's own network is pinned; None for a node that hangs on the
    host directly. With `overlay`, Pods of different nodes talk by VXLAN.
    """

    name: str
    index: int
    pin: Path
    families: tuple[FamilyPlan, ...]
    number: int = 0
    lan: Path | None = None
    overlay: bool = False

    @property
    def host_link(self) -> str:
        """The uplink's name on the host."""
        return f"sampan{self.index}"

    @property
    def owner(self) -> str:
        """The alias on the host's end of the uplink: which cluster it belongs to."""
        return f"sampan {self.name}"

    @property
    def node_ips(self) -> tuple[str, ...]:
        return tuple(str(family.node.ip) for family in self.families)

    @property
    def pod_cidrs(self) -> tuple[str, ...]:
        return tuple(str(family.pod_cidr) for family in self.families)

    @property
    def cluster_cidrs(self) -> tuple[str, ...]:
        """Where the Pods of all nodes are."""
        return tuple(str(family.cluster_cidr) for family in self.families)

    @property
    def service_cidrs(self) -> tuple[str, ...]:
        return tuple(str(family.service_cidr) for family in self.families)

    @property
    def load_balancers(self) -> tuple[str, ...]:
        """Where the addresses of Services of type LoadBalancer are."""
        return tuple(str(network) for family in self.families for network in family.load_balancers)

    @property
    def dns_ips(self) -> tuple[str, ...]:
        return tuple(str(family.dns) for family in self.families)

    @property
    def host_mac(self) -> bytes:
        return self.uplink_mac(1)

    @property
    def node_mac(self) -> bytes:
        return self.uplink_mac(2 + self.number)

    def uplink_mac(self, offset: int) -> bytes:
        """Of who has this offset on the uplink. It does not depend on which families the cluster has."""
        return mac_of(_uplink(self.index)[offset])

    def pod_mac(self, offset: int) -> bytes:
        return mac_of(_v4_pods(self.index, self.number).network_address + offset)

    @property
    def pod_offsets(self) -> range:
        """Offsets that Pods may have in the ranges of all families: the same in each."""
        return min((pod_addresses(family.pod_cidr) for family in self.families), key=len)

    @property
    def mtu(self) -> int:
        """Of Pods' links."""
        return UNDERLAY_MTU - (_VXLAN_OVERHEAD[self.families[0].version] if self.overlay else 0)


class PlanOptions(TypedDict, total=False):
    """What a plan may be told: the families' versions, the primary first, and fields of NodePlan.

    `load_balancers`: networks instead of the plan's own, for the families that they are of.
    """

    families: Sequence[int]
    number: int
    lan: Path | None
    overlay: bool
    load_balancers: Sequence[str]


def node_plan(index: int, name: str, pin: Path, **more: Unpack[PlanOptions]) -> NodePlan:
    """The plan of a node of cluster `name` with index k; the namespace is pinned at `pin`."""
    number = more.get("number", 0)
    if not 0 <= index <= MAX_INDEX:
        raise ValueError(f"cluster index {index} is not in 0..{MAX_INDEX}")
    if not 0 <= number <= MAX_NUMBER:
        raise ValueError(f"node number {number} is not in 0..{MAX_NUMBER}")
    make = {4: _family_v4, 6: _family_v6}
    rows = tuple(make[version](index, number) for version in more.get("families", (4,)))
    chosen = [ip_network(text) for text in more.get("load_balancers", ())]
    rows = tuple(_with_pools(row, chosen) for row in rows)
    return NodePlan(name, index, pin, rows, number, more.get("lan"), more.get("overlay", False))


def free_index(taken: Iterable[Network], kept: Collection[int] = ()) -> int:
    """The lowest index none of whose ranges meets a network that the host already routes or owns.

    One that is `kept` for a cluster that may come up again is given away only if there is no other.
    """
    occupied = [network for network in taken if network.prefixlen]
    for index in sorted(range(MAX_INDEX + 1), key=lambda index: index in kept):
        if not any(overlap(mine, network) for mine in _ranges(index) for network in occupied):
            return index
    raise NetworkFault(
        f"all {MAX_INDEX + 1} address plans clash with this machine's routes; "
        "take another cluster down (`sampan down --name ...`) or free 10.244.0.0/16 and 10.96.0.0/16"
    )


def pod_addresses(cidr: Network) -> range:
    """Offsets in a Pod range that Pods may have: not the network, the first, nor the broadcast address."""
    return range(2, min(cidr.num_addresses, _OFFSETS_END) - 1)


def _family_v4(index: int, number: int) -> FamilyPlan:
    services, uplink = IPv4Network(f"10.{96 + index}.0.0/16"), _uplink(index)
    return FamilyPlan(
        host=IPv4Interface((uplink[1], uplink.prefixlen)),
        node=IPv4Interface((uplink[2 + number], uplink.prefixlen)),
        pod_cidr=_v4_pods(index, number),
        cluster_cidr=_v4_cluster(index),
        service_cidr=services,
        load_balancers=(_v4_pool(index),),
        kubernetes=services[1],
        dns=services[10],
    )


def _family_v6(index: int, number: int) -> FamilyPlan:
    services, uplink = _subnet(index, 0x100, 112), _subnet(index, 0x300, 64)
    return FamilyPlan(
        host=IPv6Interface((uplink[1], uplink.prefixlen)),
        node=IPv6Interface((uplink[2 + number], uplink.prefixlen)),
        pod_cidr=_subnet(index, number, 64),
        cluster_cidr=_subnet(index, 0, 56),
        service_cidr=services,
        load_balancers=(_subnet(index, 0x200, 112),),
        kubernetes=services[1],
        dns=services[10],
    )


def _with_pools(row: FamilyPlan, chosen: Iterable[Network]) -> FamilyPlan:
    own = tuple(network for network in chosen if network.version == row.version)
    return replace(row, load_balancers=own) if own else row


def _v4_cluster(index: int) -> IPv4Network:
    return IPv4Network(f"10.{(244 if index < _OCTETS_UP else 208) + index}.0.0/16")


def _v4_pods(index: int, number: int) -> IPv4Network:
    return IPv4Network((int(_v4_cluster(index).network_address) + (number << 8), 24))


def _v4_pool(index: int) -> IPv4Network:
    return IPv4Network(f"100.65.{index}.0/24")


def _uplink(index: int) -> IPv4Network:
    return IPv4Network((int(IPv4Address("100.64.0.0")) + (index << 8), 24))


def _subnet(index: int, subnet: int, length: int) -> IPv6Network:
    """The 16-bit subnet ID of the cluster's /48, as a network of this prefix length."""
    return IPv6Network((_ULA | index << 80 | subnet << 64, length))


def _ranges(index: int) -> tuple[Network, ...]:
    return (
        _v4_cluster(index),
        IPv4Network(f"10.{96 + index}.0.0/16"),
        _v4_pool(index),
        _uplink(index),
        _subnet(index, 0, 48),
    )


def is_within(one: Network, other: Network) -> bool:
    """Whether `other` has all addresses of `one`."""
    return one.version == other.version and overlap(one, other) and one.prefixlen >= other.prefixlen


def overlap(one: Network, other: Network) -> bool:
    """Whether an address is in both, of those that are in use."""
    if isinstance(one, IPv4Network):
        return isinstance(other, IPv4Network) and one.overlaps(other)
    # A way to all unique local addresses, such as a VPN's fd00::/8, says of none of them that it is in use.
    return isinstance(other, IPv6Network) and other.prefixlen >= _SITE_LENGTH and one.overlaps(other)
