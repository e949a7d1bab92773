"""What may pass between a class of isolated Pods and an identity of peers. Pure.

A class is a set of grants by the term they are for; an identity is the set of terms that are true of an
address. A pair allows what the class grants to the terms that the identity has.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple, TypeAlias

from sampan.proxy.policy.model import Anyone, Block, Direction, Grant, NamedPort, Pods, Ports
from sampan.proxy.table import Fields

_LAST_PORT = 65535


class PortName(NamedTuple):
    """Policies speak of ports of this name; what a Pod has by it is a `NamedPort`."""

    name: str
    protocol: str


class PodsIn(NamedTuple):
    """Pods whose address is in a block: only where a grant to a block is for a port by name."""

    block: Block

    def __str__(self) -> str:
        return f"pods in {self.block}"


Term: TypeAlias = Pods | Block | Anyone | PodsIn | PortName | NamedPort
Key: TypeAlias = frozenset[Term]
Class: TypeAlias = Mapping[Term, tuple[Ports, ...]]
Range: TypeAlias = tuple[str, int, int]
"""Protocol, first and last port."""


class Allowed(NamedTuple):
    """`elements`: (set, what follows class and identity in the key)."""

    elements: frozenset[tuple[str, Fields]]
    ranges: frozenset[Range]


def terms_of(grant: Grant, direction: Direction) -> Iterator[Term]:
    """What a policy's grant speaks of."""
    by_name = direction == "egress" and bool(grant.ports.name)
    yield PodsIn(grant.peer) if by_name and isinstance(grant.peer, Block) else grant.peer
    if by_name:
        yield PortName(grant.ports.name, grant.ports.protocol)


def class_of(grants: Iterable[Grant]) -> Class:
    found: dict[Term, list[Ports]] = {}
    for peer, ports in sorted(grants, key=str):
        term: Term = PodsIn(peer) if ports.name and isinstance(peer, Block) else peer
        found.setdefault(term, []).append(ports)
    return {term: tuple(listed) for term, listed in found.items()}


def pair(of_class: Class, key: Key) -> Allowed:
    elements: set[tuple[str, Fields]] = set()
    ranges: set[Range] = set()
    for ports in (ports for term in key for ports in of_class.get(term, ())):
        if ports.name:
            elements |= {
                ("allow", (ports.protocol, term.port))
                for term in key
                if isinstance(term, NamedPort) and term[:2] == (ports.name, ports.protocol)
            }
        elif not ports.protocol:
            return Allowed(frozenset({("peers", ())}), frozenset())
        elif not ports.first or (ports.first == 1 and ports.last == _LAST_PORT):
            elements.add(("protos", (ports.protocol,)))
        elif (found := range_of(ports)) is not None:
            ranges.add(found)
        else:
            elements.add(("allow", (ports.protocol, ports.first)))
    return Allowed(frozenset(elements), frozenset(ranges))


def range_of(ports: Ports) -> Range | None:
    """None for a single port, for all of them, and for one by name."""
    if ports.first < ports.last and (ports.first, ports.last) != (1, _LAST_PORT):
        return ports.protocol, ports.first, ports.last
    return None
