"""The address plan of a node: pure values and the choice of a cluster index that clashes with nothing.

Index k of a machine's clusters: Pods 10.(244+k).0.0/16, Services 10.(96+k).0.0/16, uplink 100.64.k.0/24
with the host on .1 and the node on .2. Families are rows, so that a second one is a row and not a branch.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, ip_address
from pathlib import Path

from sampan.kubelet.network.contract import NetworkFault
from sampan.kubelet.network.netlink import Address, Interface, Network

MAX_INDEX = 11
"""10.(244+k) ends at 10.255."""


@dataclass(frozen=True, slots=True)
class FamilyPlan:
    """One address family of a node. `pod_cidr` is this node's part of `cluster_cidr`."""

    host: Interface
    node: Interface
    pod_cidr: Network
    cluster_cidr: Network
    service_cidr: Network
    kubernetes: Address
    dns: Address

    @property
    def gateway(self) -> Interface:
        """What every Pod sees as its next hop; link-local, the same on each veth."""
        return POD_GATEWAYS[self.node.version]

    @property
    def default(self) -> Network:
        return DEFAULT_ROUTES[self.node.version]


POD_GATEWAYS: Mapping[int, Interface] = {4: IPv4Interface("169.254.1.1/32")}
DEFAULT_ROUTES: Mapping[int, Network] = {4: IPv4Network("0.0.0.0/0")}


@dataclass(frozen=True, slots=True)
class NodePlan:
    """Everything a node's namespace needs to know. `families`: the primary one first."""

    name: str
    index: int
    pin: Path
    families: tuple[FamilyPlan, ...]

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


def node_plan(index: int, name: str, pin: Path) -> NodePlan:
    """The plan of cluster `name` with index k; the namespace is pinned at `pin`."""
    if not 0 <= index <= MAX_INDEX:
        raise ValueError(f"cluster index {index} is not in 0..{MAX_INDEX}")
    service_cidr = IPv4Network(f"10.{96 + index}.0.0/16")
    family = FamilyPlan(
        host=IPv4Interface(f"100.64.{index}.1/24"),
        node=IPv4Interface(f"100.64.{index}.2/24"),
        pod_cidr=IPv4Network(f"10.{244 + index}.0.0/24"),
        cluster_cidr=IPv4Network(f"10.{244 + index}.0.0/16"),
        service_cidr=service_cidr,
        kubernetes=service_cidr[1],
        dns=service_cidr[10],
    )
    return NodePlan(name, index, pin, (family,))


def free_index(taken: Iterable[Network]) -> int:
    """The lowest index none of whose ranges meets a network that the host already routes or owns."""
    occupied = [network for network in taken if network.prefixlen]
    for index in range(MAX_INDEX + 1):
        if not any(
            mine.overlaps(network)
            for mine in _ranges(index)
            for network in occupied
            if isinstance(network, IPv4Network)
        ):
            return index
    raise NetworkFault(
        f"all {MAX_INDEX + 1} address plans clash with this machine's routes; "
        "take another cluster down (`sampan down --name ...`) or free 10.244.0.0/16 and 10.96.0.0/16"
    )


def pod_addresses(cidr: Network) -> range:
    """Offsets in a Pod range that Pods may have: not the network, the first, nor the broadcast address."""
    return range(2, min(cidr.num_addresses, 1 << 16) - 1)


def offset_of(address: str, cidr: Network) -> int:
    return int(ip_address(address)) - int(cidr.network_address)


def _ranges(index: int) -> tuple[IPv4Network, ...]:
    return (
        IPv4Network(f"10.{244 + index}.0.0/16"),
        IPv4Network(f"10.{96 + index}.0.0/16"),
        IPv4Network((int(IPv4Address("100.64.0.0")) + (index << 8), 24)),
    )
