"""What one Service means on this node: pure, from the Service and its EndpointSlices to table elements.

`frontends` knows the ways in, `topology` which endpoints count, `seats` where they stand.
Sources: the Service and EndpointSlice API reference; "Virtual IPs and Service Proxies" in the documentation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from functools import lru_cache
from ipaddress import ip_network
from socket import AF_INET, AF_INET6, inet_pton
from typing import NamedTuple

from sampan.api.objects import Obj, labels_of
from sampan.proxy import topology
from sampan.proxy.frontends import Front, Way, front, source_ranges, ways
from sampan.proxy.keys import Frontend
from sampan.proxy.seats import place, seat, taken
from sampan.proxy.table import (
    DROP,
    ENDPOINTS,
    FRONTENDS,
    HAIRPINS,
    KEY_MASK,
    LOCAL,
    PROTOCOLS,
    RANGES,
    STICKY,
    Element,
    Fields,
    Seats,
    Table,
    canonical,
    draws_of,
    seats_of,
)

SERVICE_NAME = "kubernetes.io/service-name"
OTHER_PROXY = "service.kubernetes.io/service-proxy-name"
DEFAULT_AFFINITY_S = 10_800
_ADDRESS_TYPES = {4: "IPv4", 6: "IPv6"}
_PROTOCOLS = {name.upper(): name for name in PROTOCOLS}


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """What the rules need to know of the node. `own_ips`: service addresses the node answers itself.

    `ips`: where its host ports are. `service_cidrs`: no other address of a Service may lie in them.
    """

    name: str
    pod_cidrs: tuple[str, ...]
    own_ips: frozenset[str] = frozenset()
    families: tuple[int, ...] = (4,)
    ips: tuple[str, ...] = ()
    service_cidrs: tuple[str, ...] = ()
    zone: str = ""


@dataclass(frozen=True, slots=True)
class Flows:
    """UDP flows as conntrack knows them: those of a service port to one endpoint, or to all ("")."""

    key: int
    address: str = ""
    port: int = 0


def stale(old: Set[Flows], new: Set[Flows]) -> set[Flows]:
    """What must be forgotten; all at once of a service port that has no endpoint left."""
    left = {flows.key for flows in new}
    return {flows if flows.key in left else Flows(flows.key) for flows in old - new}


class HealthCheck(NamedTuple):
    """What a Service asks for with `healthCheckNodePort`, and how many ready endpoints this node has."""

    port: int
    endpoints: int


@dataclass(frozen=True, slots=True)
class Fragment:
    """One Service's part of the table, or that of all host ports.

    `shared` may be in other Services' fragments as well. `ready`: addresses that get new connections because
    they are ready, not as a last resort. `flows`, `udp_fronts`: what conntrack may remember of it. There may
    be ten thousand of these: tuples are a third as large as sets, and what is empty or common is there once.
    """

    elements: Table = field(default_factory=dict)
    shared: Table = field(default_factory=dict)
    frontends: tuple[Frontend, ...] = ()
    ready: tuple[str, ...] = ()
    flows: frozenset[Flows] = frozenset()
    udp_fronts: frozenset[Front] = frozenset()
    health: HealthCheck | None = None


EMPTY = Fragment()


class Seating(NamedTuple):
    """Where endpoints stand, by service port: their slots, and which of these are drawn."""

    slots: Mapping[int, Seats]
    draws: Mapping[int, tuple[int, ...]]


def seating(table: Mapping[Element, Fields]) -> Seating:
    """Of the part of a Service, or of a whole table that an earlier process left."""
    return Seating(seats_of(table), draws_of(table))


NOWHERE = seating({})


def is_within(address: str, cidrs: tuple[str, ...]) -> bool:
    """Whether one of the ranges has the address; `ipaddress` would take 10 us for what takes one here."""
    packed = inet_pton(AF_INET6 if ":" in address else AF_INET, address)
    number = int.from_bytes(packed, "big")
    for size, host_bits, prefix in _prefixes(cidrs):
        if size == len(packed) and number >> host_bits == prefix:
            return True
    return False


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


def affinity_s(service: Obj) -> int:
    """How long an idle client is remembered; 0 without session affinity."""
    spec = service["spec"]
    if spec.get("sessionAffinity") != "ClientIP":
        return 0
    config = (spec.get("sessionAffinityConfig") or {}).get("clientIP") or {}
    return int(config.get("timeoutSeconds") or DEFAULT_AFFINITY_S)


def health_check_port(service: Obj) -> int:
    """Where load balancers ask whether this node has endpoints; 0: nowhere."""
    spec = service["spec"]
    asked = spec.get("type") == "LoadBalancer" and spec.get("externalTrafficPolicy") == "Local"
    return int(spec.get("healthCheckNodePort") or 0) if asked else 0


def fragment(
    service: Obj,
    slices: Sequence[Obj],
    facts: NodeFacts,
    key_of: Callable[[Frontend], int],
    before: Seating = NOWHERE,
) -> Fragment:
    """The Service's rules. Its endpoints stay where they were `before`, if they can."""
    if not is_proxied(service):
        return EMPTY
    spec = service["spec"]
    draft = _Draft(facts, before, affinity_s(service))
    for address in map(canonical, spec.get("clusterIPs") or [spec["clusterIP"]]):
        family = 6 if ":" in address else 4
        if family not in facts.families or address in facts.own_ips:
            continue
        of_family = [piece for piece in slices if piece.get("addressType") == _ADDRESS_TYPES[family]]
        for port in spec.get("ports") or ():
            frontend = Frontend(address, _PROTOCOLS[port.get("protocol", "TCP")], port["port"])
            listed = topology.candidates(of_family, port.get("name", ""), frontend.protocol, facts.name)
            draft.add_port(service, port, frontend, key_of(frontend), listed)
    return draft.finished(health_check_port(service))


class _Draft:
    """A fragment in the making."""

    def __init__(self, facts: NodeFacts, before: Seating, affinity: int) -> None:
        self._facts, self._before, self._affinity = facts, before, affinity
        self._elements: Table = {}
        self._shared: Table = {}
        self._frontends: set[Frontend] = set()
        self._ready: set[str] = set()
        self._flows: set[Flows] = set()
        self._udp_fronts: set[Front] = set()
        self._local: dict[int, set[str]] = {}
        """By family: addresses of ready endpoints on this node."""

    def finished(self, health_port: int) -> Fragment:
        local = max(map(len, self._local.values()), default=0)
        return Fragment(
            self._elements,
            _only(*self._shared.popitem()) if len(self._shared) == 1 else self._shared,
            tuple(self._frontends),
            tuple(self._ready),
            frozenset(self._flows) if self._flows else EMPTY.flows,
            frozenset(self._udp_fronts) if self._udp_fronts else EMPTY.udp_fronts,
            HealthCheck(health_port, local) if health_port else None,
        )

    def add_port(
        self, service: Obj, port: Obj, frontend: Frontend, key: int, listed: Sequence[topology.Candidate]
    ) -> None:
        family = 6 if ":" in frontend.address else 4
        self._frontends.add(frontend)
        if health_check_port(service):
            own = {c.endpoint[0] for c in listed if c.local and c.ready}
            self._local.setdefault(family, set()).update(own)
        kinds: set[int] = set()
        for way in ways(service, port, frontend, family):
            if self._is_taken(way, frontend):
                continue
            self._elements[way.element] = (key | way.flags,)
            kinds.add(way.flags & LOCAL)
            if way.flags & RANGES:
                for network in source_ranges(service, family):
                    self._elements[Element(f"lbsrc{family}", (key, network))] = ()
            known = front(way, family)
            if known:
                # Pods and the node itself get all endpoints, whatever the policy.
                kinds.add(0)
                if frontend.protocol == "udp":
                    self._udp_fronts.add(known)
        for kind in sorted(kinds):
            chosen = (
                topology.choose_local(listed)
                if kind & LOCAL
                else topology.choose(listed, self._facts.name, self._facts.zone)
            )
            if chosen:
                self._add_endpoints(key, kind, family, frontend.protocol, chosen)
            elif kind & LOCAL and listed:
                self._elements[Element("svc", (key | kind,))] = (DROP,)

    def _is_taken(self, way: Way, frontend: Frontend) -> bool:
        """External addresses are asked for by users: none may be another Service's cluster IP."""
        if not way.element.set.startswith("fe") or way.element.key == frontend:
            return False
        return is_within(str(way.element.key[0]), self._facts.service_cidrs)

    def _add_endpoints(
        self, key: int, kind: int, family: int, protocol: str, chosen: Sequence[topology.Candidate]
    ) -> None:
        mark = key | kind
        wanted = [c.endpoint for c in chosen]
        old = self._before.slots.get(mark, ())
        seats: Seats = seat(old, wanted) if self._affinity else place(old, wanted)
        if self._affinity:
            self._add_affinity(mark, seats)
        else:
            count, chain = _class(len(seats), f"n{len(seats)}")
            self._elements[Element("svc", (mark,))] = count.key
            self._shared[count] = chain
        endpoints, hairpins = ENDPOINTS[family], HAIRPINS[family]
        for number, end in enumerate(seats):
            if end is not None:
                self._elements[Element(endpoints, (mark, number))] = end
        for (host, port), _, ready, *_ in chosen:
            if ready:
                self._ready.add(host)
            if protocol == "udp":
                self._flows.add(Flows(key, host, port))
            if is_within(host, self._facts.pod_cidrs):
                self._shared[Element(hairpins, (host, host))] = ()

    def _add_affinity(self, mark: int, seats: Seats) -> None:
        numbers = taken(seats)
        draws = place(self._before.draws.get(mark, ()), numbers)
        self._elements[Element("svc", (mark,))] = (STICKY | self._affinity,)
        self._elements[Element("cnt", (mark,))] = (len(draws),)
        for slot, number in enumerate(draws):
            self._elements[Element("pick", (mark, slot))] = (number,)
            self._elements[Element("live", (mark, number))] = ()
        element, chain = _class(STICKY | self._affinity, f"t{self._affinity}")
        self._shared[element] = chain
        self._shared[Element("draw", (len(draws),))] = (f"d{len(draws)}",)


@lru_cache(maxsize=1 << 10)
def _class(number: int, chain: str) -> tuple[Element, Fields]:
    """The same object for all Services that need it."""
    return Element("class", (number,)), (chain,)


@lru_cache(maxsize=1 << 10)
def _only(element: Element, value: Fields) -> Table:
    """The same for all Services that share nothing else."""
    return {element: value}


def flows_of(table: Mapping[Element, Fields]) -> set[Flows]:
    """The UDP flows that a table may have made."""
    endpoints = seats_of(table)
    keys = {
        int(value[0]) & KEY_MASK
        for (name, key), value in table.items()
        if name.startswith(FRONTENDS) and key[1] == "udp"
    }
    return {
        Flows(key, *end)
        for key in keys
        for mark in (key, key | LOCAL)
        for end in endpoints.get(mark, ())
        if end is not None
    }


def fronts_of(table: Mapping[Element, Fields]) -> set[Front]:
    """The ways in of a table by which UDP may have come, but for cluster IPs."""
    fronts = set()
    for element, (mark, *_) in ((e, v) for e, v in table.items() if v and "udp" in e.key):
        family = int(element.set[-1])
        known = front(Way(element, int(mark)), family)
        if known:
            fronts.add(known)
    return fronts
