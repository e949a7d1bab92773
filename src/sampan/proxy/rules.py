"""What one Service means on this node: pure, from the Service and its EndpointSlices to table elements.

Sources: the Service and EndpointSlice API reference; "Virtual IPs and Service Proxies" in the documentation
(traffic policies, terminating endpoints); KEP-1669 (fallback to serving terminating endpoints).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from ipaddress import ip_network
from socket import AF_INET, AF_INET6, inet_pton

from sampan.api.objects import Obj, labels_of
from sampan.proxy.keys import Frontend
from sampan.proxy.table import (
    DROP,
    EXTERNAL,
    FRONTENDS,
    KEY_MASK,
    LOCAL,
    Element,
    Endpoint,
    Fields,
    Table,
    endpoints_of,
)

SERVICE_NAME = "kubernetes.io/service-name"
OTHER_PROXY = "service.kubernetes.io/service-proxy-name"
HEADLESS = "service.kubernetes.io/headless"


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """What the rules need to know of the node. `own_ips`: service addresses the node answers itself.

    `ips`: where its host ports are.
    """

    name: str
    pod_cidrs: tuple[str, ...]
    own_ips: frozenset[str] = frozenset()
    families: tuple[int, ...] = (4,)
    ips: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Flows:
    """UDP flows as conntrack knows them: those of a service port to one endpoint."""

    key: int
    address: str
    port: int


@dataclass(frozen=True, slots=True)
class Fragment:
    """One Service's part of the table, or that of all host ports.

    `shared` may be in other Services' fragments as well. `ready`: addresses that get new connections because
    they are ready, not as a last resort. `flows`, `udp_node_ports`: what conntrack may remember of it.
    """

    elements: Table = field(default_factory=dict)
    shared: Table = field(default_factory=dict)
    frontends: frozenset[Frontend] = frozenset()
    slots: Mapping[int, tuple[Endpoint, ...]] = field(default_factory=dict)
    ready: frozenset[str] = frozenset()
    flows: frozenset[Flows] = frozenset()
    udp_node_ports: frozenset[tuple[int, int]] = frozenset()
    """(family, port)."""


EMPTY = Fragment()


@dataclass(frozen=True, slots=True)
class _Candidate:
    """An endpoint of one port, as a slice has it."""

    endpoint: Endpoint
    local: bool
    ready: bool
    last_resort: bool
    """Not ready any more, but still serving while it terminates."""


def is_within(address: str, cidrs: tuple[str, ...]) -> bool:
    """Whether one of the ranges has the address; `ipaddress` would take 10 us for what takes one here."""
    packed = inet_pton(AF_INET6 if ":" in address else AF_INET, address)
    number = int.from_bytes(packed, "big")
    return any(
        size == len(packed) and number >> host_bits == prefix for size, host_bits, prefix in _prefixes(cidrs)
    )


@lru_cache(maxsize=64)
def _prefixes(cidrs: tuple[str, ...]) -> tuple[tuple[int, int, int], ...]:
    """Of each range: bytes of an address, bits that are free in it, and the bits that are not."""
    found = []
    for network in map(ip_network, cidrs):
        host_bits = network.max_prefixlen - network.prefixlen
        prefix = int(network.network_address) >> host_bits
        found.append((len(network.network_address.packed), host_bits, prefix))
    return tuple(found)


def is_proxied(service: Obj) -> bool:
    """Not headless, not ExternalName, not left to another proxy."""
    spec = service["spec"]
    address = spec.get("clusterIP") or "None"
    return (
        spec.get("type", "ClusterIP") != "ExternalName"
        and address != "None"
        and OTHER_PROXY not in labels_of(service)
    )


def fragment(
    service: Obj,
    slices: Sequence[Obj],
    facts: NodeFacts,
    key_of: Callable[[Frontend], int],
    slots: Mapping[int, tuple[Endpoint, ...]] = EMPTY.slots,
) -> Fragment:
    """The Service's rules. `slots` is where its endpoints were before: they stay where they can."""
    if not is_proxied(service):
        return EMPTY
    spec = service["spec"]
    elements: Table = {}
    shared: Table = {}
    frontends: set[Frontend] = set()
    placed: dict[int, tuple[Endpoint, ...]] = {}
    ready: set[str] = set()
    flows: set[Flows] = set()
    udp_node_ports: set[tuple[int, int]] = set()

    for address in spec.get("clusterIPs") or [spec["clusterIP"]]:
        family = 6 if ":" in address else 4
        if family not in facts.families or address in facts.own_ips:
            continue
        of_family = [s for s in slices if s.get("addressType") == f"IPv{family}"]
        for port in spec.get("ports") or ():
            protocol = port.get("protocol", "TCP").lower()
            frontend = Frontend(address, protocol, port["port"])
            key = key_of(frontend)
            frontends.add(frontend)
            marks = dict(_marks(service, port, frontend, family, key))
            elements.update((element, (mark,)) for element, mark in marks.items())
            candidates = _candidates(of_family, port.get("name", ""), protocol, facts.name)
            kinds = {key} | {mark & ~EXTERNAL for mark in marks.values()}
            for kind in sorted(kinds):
                chosen = choose(c for c in candidates if c.local or not kind & LOCAL)
                if not chosen:
                    if kind & LOCAL and choose(candidates):
                        elements[Element("svc", (kind,))] = (DROP,)
                    continue
                order = place(slots.get(kind, ()), [c.endpoint for c in chosen])
                placed[kind] = order
                elements[Element("svc", (kind,))] = (len(order),)
                elements.update((Element(f"ep{family}", (kind, n)), end) for n, end in enumerate(order))
                shared[Element("class", (len(order),))] = (f"n{len(order)}",)
                ready.update(c.endpoint[0] for c in chosen if c.ready)
                if protocol == "udp":
                    flows.update(Flows(key, *end) for end in order)
                for host, _ in order:
                    if is_within(host, facts.pod_cidrs):
                        shared[Element(f"hair{family}", (host, host))] = ()
            if protocol == "udp" and (node_port := port.get("nodePort")):
                udp_node_ports.add((family, node_port))
    return Fragment(
        elements, shared, frozenset(frontends), placed, frozenset(ready), frozenset(flows),
        frozenset(udp_node_ports),
    )  # fmt: skip


def flows_of(table: Mapping[Element, Fields]) -> set[Flows]:
    """The UDP flows that a table may have made."""
    endpoints = endpoints_of(table)
    keys = {
        int(value[0]) & KEY_MASK
        for (name, key), value in table.items()
        if name.startswith(FRONTENDS) and key[1] == "udp"
    }
    return {
        Flows(key, *end) for key in keys for mark in (key, key | LOCAL) for end in endpoints.get(mark, ())
    }


def choose(candidates: Iterable[_Candidate]) -> list[_Candidate]:
    """All that are ready; when there are none, those that still serve while they terminate."""
    listed = list(candidates)
    return [c for c in listed if c.ready] or [c for c in listed if c.last_resort]


def place(old: Sequence[Endpoint], wanted: Sequence[Endpoint]) -> tuple[Endpoint, ...]:
    """The wanted endpoints in slots 0..n-1, such that as few as possible change their slot.

    New endpoints fill gaps; what gaps remain are filled from the end.
    """
    missing = [endpoint for endpoint in wanted if endpoint not in set(old)]
    keep = set(wanted)
    slots: list[Endpoint | None] = [endpoint if endpoint in keep else None for endpoint in old]
    missing.reverse()
    for slot, endpoint in enumerate(slots):
        if endpoint is None and missing:
            slots[slot] = missing.pop()
    slots.extend(reversed(missing))
    slot = 0
    while slot < len(slots):
        if slots[slot] is None:
            last = slots.pop()
            if slot < len(slots):
                slots[slot] = last
        else:
            slot += 1
    return tuple(endpoint for endpoint in slots if endpoint is not None)


def _marks(
    service: Obj, port: Obj, frontend: Frontend, family: int, key: int
) -> Iterator[tuple[Element, int]]:
    """Every way into the service port, with the mark a packet gets there."""
    spec = service["spec"]
    inside = LOCAL if spec.get("internalTrafficPolicy") == "Local" else 0
    outside = LOCAL | EXTERNAL if spec.get("externalTrafficPolicy") == "Local" else 0
    yield Element(f"fe{family}", frontend), key | inside
    kind = spec.get("type", "ClusterIP")
    if kind in ("NodePort", "LoadBalancer") and port.get("nodePort"):
        yield Element(f"np{family}", (frontend.protocol, port["nodePort"])), key | outside
    if kind == "LoadBalancer":
        for ingress in ((service.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ():
            address = ingress.get("ip", "")
            same_family = (":" in address) == (family == 6)
            if address and same_family and ingress.get("ipMode", "VIP") == "VIP":
                yield (
                    Element(f"fe{family}", (address, frontend.protocol, frontend.port)),
                    key | outside,
                )


def _candidates(slices: Iterable[Obj], port_name: str, protocol: str, node: str) -> list[_Candidate]:
    """Each usable endpoint of the port once; the better of two opinions when slices overlap."""
    found: dict[Endpoint, _Candidate] = {}
    for piece in slices:
        if HEADLESS in labels_of(piece):
            continue
        for port in piece.get("ports") or ():
            if (port.get("name") or "") != port_name or not port.get("port"):
                continue
            if (port.get("protocol") or "TCP").lower() != protocol:
                continue
            for endpoint in piece.get("endpoints") or ():
                conditions = endpoint.get("conditions") or {}
                ready = conditions.get("ready") is not False
                serving = ready if conditions.get("serving") is None else conditions["serving"]
                last_resort = bool(serving and conditions.get("terminating"))
                if not (ready or last_resort):
                    continue
                end = (endpoint["addresses"][0], port["port"])
                if end not in found or (ready and not found[end].ready):
                    found[end] = _Candidate(end, endpoint.get("nodeName") == node, ready, last_resort)
    return list(found.values())
