"""What NetworkPolicies mean for a Pod: plain values from objects. Pure.

Rules only ever allow, and all policies' rules add up; so what isolates a Pod in one direction comes down to a
set of grants, (peer, ports) each. A Pod without grants that is isolated lets nothing through.

Rules with ports speak of TCP, UDP and SCTP alone; so ICMP passes by rules without ports, and what is about a
flow that was let through passes with it.

Sources: concepts/services-networking/network-policies; the NetworkPolicy API reference; where these leave it
open, what sigs.k8s.io/kube-network-policies does: Pods on the host's network are neither selected nor peers,
a named port is one of the destination Pod, ended Pods are no Pods.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import ip_network
from typing import Literal, NamedTuple, TypeAlias

from sampan.api.objects import Obj, labels_of, name_of, namespace_of, uid_of
from sampan.api.podspec import is_sidecar, is_terminal, pod_ips
from sampan.api.selectors import Selector, SelectorError, label_selector_from

Direction: TypeAlias = Literal["ingress", "egress"]
DIRECTIONS: tuple[Direction, ...] = ("ingress", "egress")


EVERY_NAMESPACE = "*"
"""Also one of which nothing is known."""


class Pods(NamedTuple):
    """Pods of one namespace, or with "" of all whose labels `namespaces` selects."""

    namespace: str
    namespaces: Selector
    pods: Selector

    def __str__(self) -> str:
        where = self.namespace or _text(self.namespaces)
        return f"pods {where} {_text(self.pods)}"


class Block(NamedTuple):
    """Addresses in `cidr` and in none of `excluded`."""

    cidr: str
    excluded: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"block {self.cidr} except {','.join(self.excluded)}"


class Anyone(NamedTuple):
    """Whoever it is."""

    def __str__(self) -> str:
        return "anyone"


ANYONE = Anyone()
EVERY_POD = Pods(EVERY_NAMESPACE, Selector.everything(), Selector.everything())
Peer: TypeAlias = Pods | Block | Anyone


class Ports(NamedTuple):
    """`protocol` "" is any and anything; `first` 0 all of the protocol's; `name` one by name."""

    protocol: str = ""
    first: int = 0
    last: int = 0
    name: str = ""

    def __str__(self) -> str:
        return f"{self.protocol} {self.name or self.first}-{self.last}"


ANYTHING = Ports()


class Grant(NamedTuple):
    """Allows this peer at these ports."""

    peer: Peer
    ports: Ports

    def __str__(self) -> str:
        return f"{self.peer} at {self.ports}"


class NamedPort(NamedTuple):
    """What a container declares."""

    name: str
    protocol: str
    port: int


@dataclass(frozen=True, slots=True)
class Policy:
    """None: does not isolate in this direction."""

    namespace: str
    name: str
    selector: Selector
    ingress: frozenset[Grant] | None
    egress: frozenset[Grant] | None

    @property
    def key(self) -> str:
        return f"{self.namespace}/{self.name}"

    def grants(self, direction: Direction) -> frozenset[Grant] | None:
        return self.ingress if direction == "ingress" else self.egress


@dataclass(frozen=True, slots=True)
class PodFacts:
    """A Pod with a network of its own. `local`: its packets pass this node's rules."""

    uid: str
    namespace: str
    name: str
    labels: Mapping[str, str]
    ips: tuple[str, ...]
    local: bool = False
    ports: frozenset[NamedPort] = frozenset()

    @property
    def key(self) -> str:
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class Isolation:
    """What a Pod is held to in one direction, and by whom."""

    policies: tuple[str, ...]
    grants: frozenset[Grant]

    @property
    def is_open(self) -> bool:
        """Some rule allows everything: as good as no isolation."""
        return Grant(ANYONE, ANYTHING) in self.grants


def policy_of(obj: Obj) -> Policy:
    """A validated NetworkPolicy. A selector that cannot be read selects nothing; nothing is let through."""
    spec = obj.get("spec") or {}
    kinds = spec.get("policyTypes") or (["Ingress", "Egress"] if spec.get("egress") else ["Ingress"])
    namespace = namespace_of(obj)
    ingress = egress = None
    if "Ingress" in kinds:
        ingress = frozenset(_grants(namespace, spec.get("ingress") or (), "from"))
    if "Egress" in kinds:
        egress = frozenset(map(_to_a_pod, _grants(namespace, spec.get("egress") or (), "to")))
    return Policy(namespace, name_of(obj), _selector(spec.get("podSelector") or {}), ingress, egress)


def pod_of(pod: Obj, node: str = "", ips: tuple[str, ...] = ()) -> PodFacts | None:
    """None for a Pod without addresses of its own. `ips`: those it is known to get before it says so."""
    spec = pod["spec"]
    addresses = ips or tuple(pod_ips(pod))
    if spec.get("hostNetwork") or is_terminal(pod) or not addresses:
        return None
    return PodFacts(
        uid_of(pod),
        namespace_of(pod),
        name_of(pod),
        labels_of(pod),
        addresses,
        bool(node) and spec.get("nodeName") == node,
        frozenset(_named_ports(spec)),
    )


def isolation(pod: PodFacts, policies: Iterable[Policy], direction: Direction) -> Isolation | None:
    """What these policies (of the Pod's namespace) make of the Pod; None: it is not isolated."""
    names: list[str] = []
    grants: set[Grant] = set()
    for policy in policies:
        allowed = policy.grants(direction)
        if allowed is not None and policy.selector.matches(pod.labels):
            names.append(policy.key)
            grants |= allowed
    if not names:
        return None
    if direction == "ingress":
        grants = {grant for each in grants for grant in _resolved(each, pod)}
    return Isolation(tuple(sorted(names)), frozenset(grants))


def _grants(namespace: str, rules: Iterable[Obj], peers_field: str) -> Iterator[Grant]:
    for rule in rules:
        peers = [_peer(namespace, peer) for peer in rule.get(peers_field) or ()] or [ANYONE]
        ports = [_ports(port) for port in rule.get("ports") or ()] or [ANYTHING]
        for peer in peers:
            for port in ports:
                yield Grant(peer, port)


def _peer(namespace: str, peer: Obj) -> Peer:
    block = peer.get("ipBlock")
    if block is not None:
        return Block(_cidr(block["cidr"]), tuple(sorted(map(_cidr, block.get("except") or ()))))
    everything, chosen = Selector.everything(), peer.get("podSelector")
    pods = everything if chosen is None else _selector(chosen)
    if peer.get("namespaceSelector") is None:
        return Pods(namespace, everything, pods)
    return Pods("", _selector(peer["namespaceSelector"]), pods)


def _ports(port: Obj) -> Ports:
    protocol = (port.get("protocol") or "TCP").lower()
    first = port.get("port")
    if first is None:
        return Ports(protocol)
    if isinstance(first, str):
        return Ports(protocol, name=first)
    return Ports(protocol, first, port.get("endPort") or first)


def _to_a_pod(grant: Grant) -> Grant:
    """A named port is one of the Pod that is gone to: only Pods have any."""
    return Grant(EVERY_POD, grant.ports) if grant.ports.name and grant.peer is ANYONE else grant


def _resolved(grant: Grant, pod: PodFacts) -> Iterator[Grant]:
    """The grant with a named port as what it is in this Pod; nothing if it has none of the name."""
    ports = grant.ports
    if not ports.name:
        yield grant
        return
    for named in pod.ports:
        if (named.name, named.protocol) == (ports.name, ports.protocol):
            yield Grant(grant.peer, Ports(ports.protocol, named.port, named.port))


def _named_ports(spec: Obj) -> Iterator[NamedPort]:
    sidecars = [container for container in spec.get("initContainers") or () if is_sidecar(container)]
    for container in (*(spec.get("containers") or ()), *sidecars):
        for port in container.get("ports") or ():
            if port.get("name"):
                protocol = (port.get("protocol") or "TCP").lower()
                yield NamedPort(port["name"], protocol, port["containerPort"])


def _text(selector: Selector) -> str:
    return "nothing" if selector.impossible else f"[{selector}]"


def _selector(selector: Obj) -> Selector:
    try:
        return label_selector_from(selector)
    except SelectorError:
        return Selector.nothing()


def _cidr(text: str) -> str:
    """With host bits off: `10.0.0.7/24` is `10.0.0.0/24`."""
    return str(ip_network(text, strict=False))
