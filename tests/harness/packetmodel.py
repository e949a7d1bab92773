"""Where a packet to a Service may go: from the Services, their slices and the node, as upstream documents it.

Written from the documentation alone and not from our rules, which are held against it: "Service", "Virtual
IPs and Service Proxies", "EndpointSlices", "Topology Aware Routing" and "Using Source IP" in the Kubernetes
documentation; the API reference; KEP-1669 (terminating endpoints), KEP-1860 (ipMode), KEP-2433 and KEP-3015
(hints).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from ipaddress import ip_address, ip_network
from typing import NamedTuple

from sampan.api.objects import Obj


class From(Enum):
    POD = "a Pod of this node"
    NODE = "the node itself"
    PEER = "a Pod of another node"
    OUTSIDE = "elsewhere: another node, the host, the world"


class Source(Enum):
    """Whom the endpoint sees."""

    KEPT = "whoever sent the packet"
    NODE = "the node"
    EITHER = "not said by the documentation"


@dataclass(frozen=True, slots=True)
class Here:
    """The node as the model must know it. `ips`: its addresses, one of each family it has.

    `service_cidrs`: ranges whose addresses are for Services alone, load balancers' among them.
    """

    name: str
    ips: tuple[str, ...]
    service_cidrs: tuple[str, ...]
    zone: str = ""


class Sender(NamedTuple):
    kind: From
    address: str


class Target(NamedTuple):
    address: str
    protocol: str
    """In small letters."""
    port: int


class Fate(NamedTuple):
    """Of a packet: the endpoints it may reach and whom they see; without endpoints, how it is refused."""

    endpoints: frozenset[tuple[str, int]] = frozenset()
    source: Source = Source.KEPT
    refused: str = ""
    """`dropped`, `rejected`, or empty."""


class Ready(NamedTuple):
    """One endpoint as a slice has it."""

    address: str
    port: int
    is_local: bool
    ready: bool
    serving_while_terminating: bool
    zones: frozenset[str]
    nodes: frozenset[str]


REJECTED = Fate(refused="rejected")
DROPPED = Fate(refused="dropped")


def fates(
    services: Iterable[Obj], slices: Iterable[Obj], here: Here, sender: Sender, target: Target
) -> list[Fate] | None:
    """What may become of the packet; several when more than one Service claims its destination, which the
    documentation leaves open. None: no Service's business.
    """
    every = list(slices)
    found = []
    for service in services:
        if not is_virtual(service):
            continue
        for port in service["spec"].get("ports") or ():
            if port.get("protocol", "TCP").lower() != target.protocol:
                continue
            way = way_in(service, port, here, target)
            if way:
                pieces = [piece for piece in every if belongs(piece, service)]
                fate = _fate(service, port, pieces, here, sender, target, way)
                if way == "LoadBalancer" and not _may_come(service, sender):
                    found.append((way, DROPPED))
                    if sender.kind is not From.NODE:
                        continue  # of a node's own packets the documentation says nothing
                found.append((way, fate))
    if not found:
        in_range = any(_in(target.address, cidr) for cidr in here.service_cidrs)
        return [REJECTED, DROPPED] if in_range and target.address not in here.ips else None
    # An address is looked for before a node port.
    first = [fate for way, fate in found if way != "NodePort"]
    return first or [fate for _, fate in found]


def is_virtual(service: Obj) -> bool:
    """Whether a proxy has anything to do with it."""
    spec = service["spec"]
    return (
        spec.get("type") != "ExternalName"
        and spec.get("clusterIP") not in (None, "", "None")
        and "service.kubernetes.io/service-proxy-name" not in service["metadata"].get("labels", {})
    )


def belongs(piece: Obj, service: Obj) -> bool:
    labels = piece["metadata"]["labels"]
    return (
        piece["metadata"]["namespace"] == service["metadata"]["namespace"]
        and labels.get("kubernetes.io/service-name") == service["metadata"]["name"]
        and "service.kubernetes.io/headless" not in labels
    )


def way_in(service: Obj, port: Obj, here: Here, target: Target) -> str:
    """By which of the Service's addresses the packet comes; empty: by none."""
    spec = service["spec"]
    kind = spec.get("type", "ClusterIP")
    if target.port == port["port"]:
        if _is_among(target.address, spec.get("clusterIPs") or [spec["clusterIP"]]):
            return "ClusterIP"
        if not _family_is_served(target.address, spec):
            return ""
        if _is_among(target.address, spec.get("externalIPs") or ()):
            return "ExternalIP"
        if kind == "LoadBalancer" and _is_among(target.address, _balancers(service)):
            return "LoadBalancer"
    is_node_port = kind in ("NodePort", "LoadBalancer") and target.port == port.get("nodePort")
    if is_node_port and target.address in here.ips and _family_is_served(target.address, spec):
        return "NodePort"
    return ""


def _may_come(service: Obj, sender: Sender) -> bool:
    """Source ranges restrict the family that they are of."""
    version = ip_address(sender.address).version
    ranges = service["spec"].get("loadBalancerSourceRanges") or ()
    own = [cidr for cidr in ranges if ip_network(cidr).version == version]
    return not own or any(_in(sender.address, cidr) for cidr in own)


def _balancers(service: Obj) -> Iterator[str]:
    """`ipMode: Proxy` means that traffic is to go by the balancer and not to be short-cut (KEP-1860)."""
    status = service.get("status") or {}
    for ingress in (status.get("loadBalancer") or {}).get("ingress") or ():
        if ingress.get("ip") and ingress.get("ipMode", "VIP") == "VIP":
            yield ingress["ip"]


def _family_is_served(address: str, spec: Obj) -> bool:
    version = ip_address(address).version
    return any(ip_address(own).version == version for own in spec.get("clusterIPs") or [spec["clusterIP"]])


def _fate(
    service: Obj, port: Obj, pieces: Sequence[Obj], here: Here, sender: Sender, target: Target, way: str
) -> Fate:
    spec = service["spec"]
    outside = way != "ClusterIP"
    policy = spec.get("externalTrafficPolicy" if outside else "internalTrafficPolicy", "Cluster")
    only_local = policy == "Local"
    if outside and only_local and sender.kind is not From.OUTSIDE:
        only_local = False  # inside the cluster, external addresses lead to all endpoints
    every = list(endpoints(pieces, port, here, ip_address(target.address).version))
    usable = choose(every, only_local, here)
    if not usable:
        return DROPPED if choose(every, False, here) else REJECTED
    chosen = frozenset((end.address, end.port) for end in usable)
    return Fate(chosen, _source(outside, policy, sender, only_local=only_local))


def endpoints(pieces: Iterable[Obj], port: Obj, here: Here, version: int) -> Iterator[Ready]:
    """Those of one service port. Not said: ready is true, serving is what ready is, terminating is false."""
    for piece in pieces:
        if piece["addressType"] != f"IPv{version}":
            continue
        for slice_port in piece.get("ports") or ():
            same_name = (slice_port.get("name") or "") == (port.get("name") or "")
            same_protocol = slice_port.get("protocol", "TCP") == port.get("protocol", "TCP")
            if not (same_name and same_protocol and slice_port.get("port")):
                continue
            for endpoint in piece.get("endpoints") or ():
                said = endpoint.get("conditions") or {}
                ready = True if said.get("ready") is None else said["ready"]
                serving = ready if said.get("serving") is None else said["serving"]
                hints = endpoint.get("hints") or {}
                yield Ready(
                    str(ip_address(endpoint["addresses"][0])),
                    slice_port["port"],
                    endpoint.get("nodeName") == here.name,
                    ready,
                    not ready and serving and bool(said.get("terminating")),
                    frozenset(zone["name"] for zone in hints.get("forZones") or ()),
                    frozenset(node["name"] for node in hints.get("forNodes") or ()),
                )


def choose(every: Sequence[Ready], only_local: bool, here: Here) -> list[Ready]:
    """Ready ones, narrowed by hints; when there are none, those that serve until they have terminated."""
    among = [end for end in every if end.is_local or not only_local]
    ready = [end for end in among if end.ready]
    if not ready:
        return [end for end in among if end.serving_while_terminating]
    return ready if only_local else hinted(ready, here)


def hinted(ready: Sequence[Ready], here: Here) -> list[Ready]:
    """Hints count only when every ready endpoint has one and some are meant for here; nodes before zones."""
    if all(end.nodes for end in ready):
        near = [end for end in ready if here.name in end.nodes]
        if near:
            return near
    if here.zone and all(end.zones for end in ready):
        near = [end for end in ready if here.zone in end.zones]
        if near:
            return near
    return list(ready)


def _source(outside: bool, policy: str, sender: Sender, *, only_local: bool) -> Source:
    """A Pod is seen as itself by its Services; who comes from elsewhere is seen as the node, unless the
    external policy is Local. Of what is left open: the source that a Pod shows by an external address.
    """
    if sender.kind is From.NODE:
        return Source.NODE
    if outside and policy == "Local" and only_local:
        return Source.KEPT
    if sender.kind is From.PEER:
        return Source.EITHER  # as it does not say which node keeps whose
    if sender.kind is From.POD:
        return Source.EITHER if outside else Source.KEPT
    if not outside and policy == "Local":
        return Source.EITHER
    return Source.NODE


def seen_as(fate: Fate, sender: Sender, endpoint: str, here: Here) -> frozenset[str]:
    """The addresses that this endpoint may see the packet come from."""
    version = ip_address(endpoint).version
    node = frozenset(ip for ip in here.ips if ip_address(ip).version == version)
    if endpoint == sender.address:
        return node  # a Pod that calls itself must not see itself, or it would not answer by the node
    if fate.source is Source.KEPT:
        return frozenset({sender.address})
    if endpoint in here.ips:
        return node | {sender.address}  # what is for the node itself leaves by no interface
    return node if fate.source is Source.NODE else node | {sender.address}


def _is_among(address: str, texts: Iterable[str]) -> bool:
    """However they are spelled."""
    return ip_address(address) in map(ip_address, texts)


def _in(address: str, cidr: str) -> bool:
    network = ip_network(cidr, strict=False)
    return ip_address(address).version == network.version and ip_address(address) in network
