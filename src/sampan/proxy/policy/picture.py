"""All policies, Pods and namespaces as one table of elements, kept by changes. Pure.

Told what came, changed or went, it works out what that moves, and `take` says what the kernel has to be told.
What depends on what: an address has an identity (by its Pod's labels and namespace, and by the peers that
policies speak of) and, if its Pod is local, a class for each direction. An identity or class is there as long
as an address has it. For each two of them that meet, `pairing` says what may pass.

Invariants between two calls of `take`: `table` is what follows from what was told up to the last one;
`_dirty`, `_networks_moved` and `_ranges_moved` name all that may have become wrong since.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from sampan.proxy.policy import pairing, ruleset
from sampan.proxy.policy.elements import Elements
from sampan.proxy.policy.intervals import pieces, ranges_of
from sampan.proxy.policy.model import (
    DIRECTIONS,
    EVERY_NAMESPACE,
    Block,
    Direction,
    Isolation,
    PodFacts,
    Pods,
    Policy,
    isolation,
)
from sampan.proxy.policy.pairing import Key, PodsIn, PortName, Range, Term
from sampan.proxy.policy.register import Register
from sampan.proxy.table import Change, Element, Table

_WAY: Mapping[Direction, str] = {"ingress": "in", "egress": "eg"}


@dataclass(frozen=True, slots=True)
class Standing:
    """What an address is to the rules."""

    pod: PodFacts
    identity: int = 0
    classes: Mapping[Direction, int] = field(default_factory=dict)
    isolations: Mapping[Direction, Isolation] = field(default_factory=dict)


class Picture:
    def __init__(self, node_ips: Iterable[str] = ()) -> None:
        """`node_ips`: where the node is reached, which no policy keeps its Pods from."""
        self.elements = Elements()
        for ip in node_ips:
            self.elements.keep(Element(f"node{6 if ':' in ip else 4}", (ip,)), wanted=True)
        self._register = Register(self.elements)
        self.standings: dict[str, Standing] = {}
        """By address; none for what rules neither speak of nor isolate."""
        self._policies: dict[str, Policy] = {}
        self._policies_in: dict[str, dict[str, Policy]] = {}
        self._pods: dict[str, PodFacts] = {}
        self._pods_in: dict[str, dict[str, PodFacts]] = {}
        self._namespaces: dict[str, Mapping[str, str]] = {}
        self._claims: dict[str, dict[str, None]] = {}
        """Address -> Pods that say it is theirs; the last to come has it."""
        self._spoken: Counter[Term] = Counter()
        """Peers, and names of ports, by how many grants of policies speak of them."""
        self._by_name: dict[PodsIn, None] = {}
        self._ranges: Counter[Range] = Counter()
        self._applicable: dict[str, list[Pods]] = {}
        """Namespace -> those spoken of that may select Pods there."""
        self._dirty: dict[str, None] = {}
        self._networks_moved = self._ranges_moved = False
        self._networks: dict[str, dict[tuple[int, int], int]] = {}
        """Map -> first and last address of each piece -> its identity."""

    @property
    def table(self) -> Table:
        return self.elements.table

    # -- what is told

    def set_namespace(self, name: str, labels: Mapping[str, str] | None) -> None:
        if self._namespaces.get(name) == labels:
            return
        if labels is None:
            del self._namespaces[name]
        else:
            self._namespaces[name] = labels
        self._applicable.pop(name, None)
        self._disturb(self._pods_in.get(name, {}).values())

    def set_pod(self, uid: str, pod: PodFacts | None) -> None:
        old = self._pods.get(uid)
        if old == pod:
            return
        self._disturb(known for known in (old, pod) if known is not None)
        for ip in old.ips if old else ():
            if pod is None or ip not in pod.ips:
                claims = self._claims[ip]
                claims.pop(uid, None)
                if not claims:
                    del self._claims[ip]
        if old is not None:
            del self._pods[uid]
            del self._pods_in[old.namespace][uid]
            if not self._pods_in[old.namespace]:
                del self._pods_in[old.namespace]
        if pod is not None:
            self._pods[uid] = pod
            self._pods_in.setdefault(pod.namespace, {})[uid] = pod
            for ip in pod.ips:
                self._claims.setdefault(ip, {})[uid] = None

    def set_policy(self, key: str, policy: Policy | None) -> None:
        old = self._policies.get(key)
        if old == policy:
            return
        if policy is None:
            del self._policies[key]
        else:
            self._policies[key] = policy
        for known in (old, policy):
            if known is not None:
                inside = self._policies_in.setdefault(known.namespace, {})
                inside.pop(key, None)
                if known is policy:
                    inside[key] = policy
                if not inside:
                    del self._policies_in[known.namespace]
                self._disturb(pod for pod in self._pods_in.get(known.namespace, {}).values() if pod.local)
        self._speak(policy, 1)
        self._speak(old, -1)

    def pod(self, uid: str) -> PodFacts | None:
        return self._pods.get(uid)

    def is_claimed(self, ip: str) -> bool:
        """Whether some Pod says that the address is its own."""
        return ip in self._claims

    # -- what follows

    def take(self) -> Change:
        """What turns the table that was into the one that follows from all that has been told."""
        if self._ranges_moved:
            self._register.cut_ports(self._ranges)
        if self._networks_moved:
            for version in ruleset.FAMILIES:
                self._cut_networks(version)
        self._ranges_moved = self._networks_moved = False
        dirty, self._dirty = self._dirty, {}
        for ip in dirty:
            self._place(ip)
        self._register.let_go()
        return self.elements.take()

    def _disturb(self, pods: Iterable[PodFacts]) -> None:
        for pod in pods:
            for ip in pod.ips:
                self._dirty[ip] = None

    def _speak(self, policy: Policy | None, by: int) -> None:
        """A policy begins or ceases to speak of its peers, ports and ranges."""
        if policy is None:
            return
        for direction in DIRECTIONS:
            for grant in policy.grants(direction) or ():
                for term in pairing.terms_of(grant, direction):
                    self._count(term, by)
                if (ports := pairing.range_of(grant.ports)) is not None:
                    was = self._ranges[ports]
                    self._ranges[ports] += by
                    self._ranges_moved |= not was or not self._ranges[ports]
                    if not self._ranges[ports]:
                        del self._ranges[ports]

    def _count(self, term: Term, by: int) -> None:
        was = self._spoken[term]
        self._spoken[term] += by
        if was and self._spoken[term]:
            return
        if not self._spoken[term]:
            del self._spoken[term]
        match term:
            case Block():
                self._networks_moved = True
            case Pods():
                for namespace in self._namespaces_of(term):
                    self._applicable.pop(namespace, None)
                    inside = self._pods_in.get(namespace, {}).values()
                    self._disturb(pod for pod in inside if term.pods.matches(pod.labels))
            case PortName(name, protocol):
                self._disturb(
                    pod
                    for pod in self._pods.values()
                    if any((port.name, port.protocol) == (name, protocol) for port in pod.ports)
                )
            case PodsIn(block):
                if term in self._spoken:
                    self._by_name[term] = None
                else:
                    del self._by_name[term]
                network = ip_network(block.cidr)
                self._dirty.update((ip, None) for ip in self._claims if ip_address(ip) in network)

    def _namespaces_of(self, peer: Pods) -> Iterable[str]:
        if peer.namespace == EVERY_NAMESPACE:
            return list(self._pods_in)
        if peer.namespace:
            return (peer.namespace,)
        return [name for name, labels in self._namespaces.items() if peer.namespaces.matches(labels)]

    def _place(self, ip: str) -> None:
        """Finds anew what an address is, and writes it down."""
        version = 6 if ":" in ip else 4
        old = self.standings.pop(ip, None)
        new = self._standing(ip)
        if new is not None:
            self.standings[ip] = new
            if new.identity:
                self._register.use(new.identity)
            for number in new.classes.values():
                self._register.use(number)
        if old is not None:
            for number in (old.identity, *old.classes.values()):
                if number:
                    self._register.leave(number)
        classes = new.classes if new else {}
        self.elements.number(Element(f"id{version}", (ip,)), new.identity if new else 0)
        for direction in DIRECTIONS:
            way = _WAY[direction]
            self.elements.number(Element(f"{way}{version}", (ip,)), classes.get(direction, 0))
            self.elements.keep(Element(f"drop{way}{version}", (ip,)), wanted=direction in classes)
        self.elements.keep(Element(f"self{version}", (ip, ip)), wanted=bool(classes))

    def _standing(self, ip: str) -> Standing | None:
        claims = self._claims.get(ip)
        if not claims:
            return None
        pod = self._pods[next(reversed(claims))]
        key = self._key_of(pod, ip)
        identity = self._register.identity(key) if key else 0
        classes: dict[Direction, int] = {}
        isolations: dict[Direction, Isolation] = {}
        for direction in DIRECTIONS if pod.local else ():
            policies = self._policies_in.get(pod.namespace, {}).values()
            isolated = isolation(pod, policies, direction)
            if isolated is not None:
                isolations[direction] = isolated
                if not isolated.is_open:
                    classes[direction] = self._register.of_class(direction, isolated.grants)
        return Standing(pod, identity, classes, isolations) if identity or isolations else None

    def _key_of(self, pod: PodFacts, ip: str) -> Key:
        """Everything that policies say and that is true of this address."""
        applicable = self._applicable.get(pod.namespace)
        if applicable is None:
            applicable = self._applicable[pod.namespace] = self._may_select(pod.namespace)
        key: set[Term] = {peer for peer in applicable if peer.pods.matches(pod.labels)}
        key.update(term for term in self._by_name if _holds(term.block, ip))
        if key:
            key.update(port for port in pod.ports if PortName(port.name, port.protocol) in self._spoken)
        return frozenset(key)

    def _may_select(self, namespace: str) -> list[Pods]:
        labels = self._namespaces.get(namespace)
        return [
            term
            for term in self._spoken
            if isinstance(term, Pods)
            and (
                term.namespace in (namespace, EVERY_NAMESPACE)
                if term.namespace
                else labels is not None and term.namespaces.matches(labels)
            )
        ]

    def _cut_networks(self, version: int) -> None:
        name = f"net{version}"
        address = IPv4Address if version == 4 else IPv6Address
        blocks = [term for term in self._spoken if isinstance(term, Block) and _version(term.cidr) == version]
        cut = {
            (piece.first, piece.last): self._register.identity(piece.held_by)
            for piece in pieces({block: ranges_of(block) for block in blocks})
        }
        was = self._networks.get(name, {})
        for (first, last), number in cut.items() - was.items():
            self._register.use(number)
            self.elements.put(Element(name, (str(address(first)), str(address(last)))), (number,))
        for (first, last), number in was.items() - cut.items():
            self._register.leave(number)
            if (first, last) not in cut:
                self.elements.drop(Element(name, (str(address(first)), str(address(last)))))
        self._networks[name] = cut


def _holds(block: Block, ip: str) -> bool:
    address = ip_address(ip)
    return address in ip_network(block.cidr) and not any(
        address in ip_network(text) for text in block.excluded
    )


def _version(text: str) -> int:
    return 6 if ":" in text else 4
