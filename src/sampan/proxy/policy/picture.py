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
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from sampan.proxy.policy import pairing, ruleset
from sampan.proxy.policy.intervals import pieces, ranges_of
from sampan.proxy.policy.model import (
    ANYONE,
    DIRECTIONS,
    Block,
    Direction,
    Grant,
    Isolation,
    PodFacts,
    Pods,
    Policy,
    isolation,
)
from sampan.proxy.policy.numbers import Numbers
from sampan.proxy.policy.pairing import Class, Key, PodsIn, PortName, Range, Term
from sampan.proxy.table import Change, Element, Fields, Table

_WAY: Mapping[Direction, str] = {"ingress": "in", "egress": "eg"}


@dataclass(frozen=True, slots=True)
class Standing:
    """What an address is to the rules."""

    pod: PodFacts
    identity: int = 0
    classes: Mapping[Direction, int] = field(default_factory=dict)
    isolations: Mapping[Direction, Isolation] = field(default_factory=dict)


class Picture:
    def __init__(self) -> None:
        self.table: Table = {}
        self.touched: set[Element] = set()
        """What `take` has changed since somebody last emptied it."""
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
        self._numbers = Numbers()
        self._identities: dict[int, Key] = {ruleset.ANYONE: frozenset((ANYONE,))}
        self._classes: dict[int, Class] = {}
        self._users: Counter[int] = Counter()
        """Of identities and classes: addresses and network pieces that have them."""
        self._idle: set[int] = set()
        self._with_term: dict[Term, set[int]] = {ANYONE: {ruleset.ANYONE}}
        """Term -> identities that have it, and classes that grant something to it."""
        self._granting: dict[Term, set[int]] = {}
        self._pairs: dict[tuple[int, int], Table] = {}
        self._spans: dict[int, frozenset[Range]] = {}
        self._span_users: Counter[int] = Counter()
        self._pieces: dict[str, list[tuple[Fields, int, Key]]] = {}
        self._port_pieces: list[tuple[int, int, int]] = []
        self._before: dict[Element, Fields | None] = {}

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
        for known in (old, pod):
            if known is not None:
                self._disturb((known,))
        for ip in old.ips if old else ():
            if pod is None or ip not in pod.ips:
                claims = self._claims[ip]
                claims.pop(uid, None)
                if not claims:
                    del self._claims[ip]
        if old is not None:
            del self._pods_in[old.namespace][uid]
            del self._pods[uid]
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

    def is_current(self, uid: str) -> bool:
        """Whether nothing of this Pod waits for `take`."""
        pod = self._pods.get(uid)
        return pod is None or not any(ip in self._dirty for ip in pod.ips)

    # -- what follows

    def take(self) -> Change:
        """What turns the table that was into the one that follows from all that has been told."""
        if self._ranges_moved:
            self._cut_ports()
        if self._networks_moved:
            for version in ruleset.FAMILIES:
                self._cut_networks(version)
        self._ranges_moved = self._networks_moved = False
        dirty, self._dirty = self._dirty, {}
        for ip in dirty:
            self._place(ip)
        self._let_go()
        before, self._before = self._before, {}
        self.touched.update(before)
        deleted, added = [], []
        for element, was in before.items():
            now = self.table.get(element)
            if was != now:
                if was is not None:
                    deleted.append((element, was))
                if now is not None:
                    added.append((element, now))
        return Change(tuple(deleted), tuple(added))

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
                self._use(new.identity)
            for number in new.classes.values():
                self._use(number)
        if old is not None:
            for number in (old.identity, *old.classes.values()):
                if number:
                    self._leave(number)
        classes = new.classes if new else {}
        self._write(Element(f"id{version}", (ip,)), new.identity if new else 0)
        for direction in DIRECTIONS:
            way = _WAY[direction]
            self._write(Element(f"{way}{version}", (ip,)), classes.get(direction, 0))
            self._keep(Element(f"drop{way}{version}", (ip,)), direction in classes)
        self._keep(Element(f"self{version}", (ip, ip)), bool(classes))

    def _standing(self, ip: str) -> Standing | None:
        claims = self._claims.get(ip)
        if not claims:
            return None
        pod = self._pods[next(reversed(claims))]
        key = self._key_of(pod, ip)
        identity = self._identity(key) if key else 0
        classes: dict[Direction, int] = {}
        isolations: dict[Direction, Isolation] = {}
        for direction in DIRECTIONS if pod.local else ():
            policies = self._policies_in.get(pod.namespace, {}).values()
            isolated = isolation(pod, policies, direction)
            if isolated is not None:
                isolations[direction] = isolated
                if not isolated.is_open:
                    classes[direction] = self._class(direction, isolated.grants)
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
                term.namespace == namespace
                if term.namespace
                else labels is not None and term.namespaces.matches(labels)
            )
        ]

    # -- identities and classes

    def _identity(self, key: Key) -> int:
        number = self._numbers.of("\n".join(sorted(map(str, key))))
        if number not in self._identities:
            self._identities[number] = key
            self._idle.add(number)
            for term in key:
                self._with_term.setdefault(term, set()).add(number)
            for of_class in {c for term in key for c in self._granting.get(term, ())}:
                self._pair(of_class, number)
        return number

    def _class(self, direction: Direction, grants: frozenset[Grant]) -> int:
        number = self._numbers.of(direction + "\n" + "\n".join(sorted(map(str, grants))))
        if number not in self._classes:
            made = self._classes[number] = pairing.class_of(grants)
            self._idle.add(number)
            for term in made:
                self._granting.setdefault(term, set()).add(number)
            for identity in {i for term in made for i in self._with_term.get(term, ())}:
                self._pair(number, identity)
        return number

    def _use(self, number: int) -> None:
        self._users[number] += 1
        self._idle.discard(number)

    def _leave(self, number: int) -> None:
        self._users[number] -= 1
        if not self._users[number]:
            del self._users[number]
            self._idle.add(number)

    def _let_go(self) -> None:
        """Of identities and classes that nobody has any more."""
        idle, self._idle = self._idle, set()
        for number in idle:
            key: Iterable[Term]
            if number in self._classes:
                key, mine = self._classes.pop(number), self._granting
                pairs = [(number, i) for term in key for i in self._with_term.get(term, ())]
            else:
                key, mine = self._identities.pop(number), self._with_term
                pairs = [(c, number) for term in key for c in self._granting.get(term, ())]
            for pair in set(pairs):
                self._unpair(pair)
            for term in key:
                mine[term].discard(number)
                if not mine[term]:
                    del mine[term]
            self._numbers.forget(number)

    # -- pairs

    def _pair(self, of_class: int, identity: int) -> None:
        allowed = pairing.pair(self._classes[of_class], self._identities[identity])
        elements: Table = {Element(name, (of_class, identity, *rest)): () for name, rest in allowed.elements}
        if allowed.ranges:
            span = self._numbers.of("span\n" + "\n".join(sorted(map(str, allowed.ranges))))
            elements[Element("spans", (of_class, identity))] = (span,)
            if not self._span_users[span]:
                self._spans[span] = allowed.ranges
                self._write_span(span)
            self._span_users[span] += 1
        self._pairs[of_class, identity] = elements
        for element, value in elements.items():
            self._set(element, value)

    def _unpair(self, pair: tuple[int, int]) -> None:
        for element, value in self._pairs.pop(pair).items():
            self._set(element, None)
            if element.set == "spans":
                span = int(value[0])
                self._span_users[span] -= 1
                if not self._span_users[span]:
                    del self._span_users[span]
                    self._erase_span(span)
                    del self._spans[span]
                    self._numbers.forget(span)

    def _span_elements(self, span: int) -> Iterator[Element]:
        for protocol, first, last in self._spans[span]:
            for begins, ends, piece in self._port_pieces:
                if first <= begins and ends <= last:
                    yield Element("span", (span, protocol, piece))

    def _write_span(self, span: int) -> None:
        for element in self._span_elements(span):
            self._set(element, ())

    def _erase_span(self, span: int) -> None:
        for element in self._span_elements(span):
            self._set(element, None)

    # -- what lies in ranges

    def _cut_ports(self) -> None:
        for span in self._spans:
            self._erase_span(span)
        for first, last, _ in self._port_pieces:
            self._set(Element("ports", (first, last)), None)
        wanted = {(first, last): [(first, last)] for _, first, last in self._ranges}
        self._port_pieces = [
            (piece.first, piece.last, self._numbers.of(f"ports {sorted(map(str, piece.held_by))}"))
            for piece in pieces(wanted)
        ]
        for first, last, number in self._port_pieces:
            self._set(Element("ports", (first, last)), (number,))
        for span in self._spans:
            self._write_span(span)

    def _cut_networks(self, version: int) -> None:
        name = f"net{version}"
        address = IPv4Address if version == 4 else IPv6Address
        blocks = [term for term in self._spoken if isinstance(term, Block) and _version(term.cidr) == version]
        cut: list[tuple[Fields, int, Key]] = []
        for piece in pieces({block: ranges_of(block) for block in blocks}):
            key: Key = frozenset(piece.held_by)  # type: ignore[arg-type]
            number = self._identity(key)
            self._use(number)
            cut.append(((str(address(piece.first)), str(address(piece.last))), number, key))
        for bounds, number, _ in self._pieces.get(name, ()):
            self._leave(number)
            self._set(Element(name, bounds), None)
        for bounds, number, _ in cut:
            self._set(Element(name, bounds), (number,))
        self._pieces[name] = cut

    # -- elements

    def _write(self, element: Element, number: int) -> None:
        self._set(element, (number,) if number else None)

    def _keep(self, element: Element, wanted: bool) -> None:
        self._set(element, () if wanted else None)

    def _set(self, element: Element, value: Fields | None) -> None:
        was = self.table.get(element)
        if was == value:
            return
        self._before.setdefault(element, was)
        if value is None:
            del self.table[element]
        else:
            self.table[element] = value


def _holds(block: Block, ip: str) -> bool:
    address = ip_address(ip)
    return address in ip_network(block.cidr) and not any(
        address in ip_network(text) for text in block.excluded
    )


def _version(text: str) -> int:
    return 6 if ":" in text else 4
