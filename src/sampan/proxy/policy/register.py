"""Who has a number: identities of peers, classes of isolated Pods, and what may pass between any two. Pure.

Both are there as long as somebody uses them. A class and an identity with a term in common are a pair, and
`pairing` says what elements it has. What is allowed at ranges of ports is a span, which pairs share.

Invariants: a pair is in `_pairs` exactly if its class and its identity are both there and have a term in
common; `_idle` are those that nobody uses and that `let_go` will take away.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from sampan.proxy.policy import pairing, ruleset
from sampan.proxy.policy.elements import Elements
from sampan.proxy.policy.intervals import pieces
from sampan.proxy.policy.model import ANYONE, Direction, Grant
from sampan.proxy.policy.numbers import Numbers
from sampan.proxy.policy.pairing import Class, Key, Range, Term
from sampan.proxy.table import Element, Table


class Register:
    def __init__(self, elements: Elements) -> None:
        self._elements = elements
        self._numbers = Numbers()
        self._names: dict[int, str] = {}
        self._identities: dict[int, Key] = {ruleset.ANYONE: frozenset((ANYONE,))}
        self._by_key: dict[Key, int] = {}
        self._classes: dict[int, Class] = {}
        self._users: Counter[int] = Counter()
        self._idle: set[int] = set()
        self._having: dict[Term, set[int]] = {ANYONE: {ruleset.ANYONE}}
        """Term -> identities that it is true of."""
        self._granting: dict[Term, set[int]] = {}
        """Term -> classes that grant something to it."""
        self._pairs: dict[tuple[int, int], Table] = {}
        self._spans: dict[int, frozenset[Range]] = {}
        self._span_users: Counter[int] = Counter()
        self._ports: list[tuple[int, int, int]] = []
        """First and last port of each piece, and its number."""

    def identity(self, key: Key) -> int:
        """To be used before the next `let_go`."""
        known = self._by_key.get(key)
        if known is not None:
            return known
        number = self._number("\n".join(sorted(map(str, key))))
        if number not in self._identities:
            self._identities[number] = key
            self._by_key[key] = number
            self._idle.add(number)
            for term in key:
                self._having.setdefault(term, set()).add(number)
            for of_class in _all(self._granting, key):
                self._pair(of_class, number)
        return number

    def of_class(self, direction: Direction, grants: frozenset[Grant]) -> int:
        """To be used before the next `let_go`."""
        number = self._number(direction + "\n" + "\n".join(sorted(map(str, grants))))
        if number not in self._classes:
            made = self._classes[number] = pairing.class_of(grants)
            self._idle.add(number)
            for term in made:
                self._granting.setdefault(term, set()).add(number)
            for identity in _all(self._having, made):
                self._pair(number, identity)
        return number

    def use(self, number: int) -> None:
        self._users[number] += 1
        self._idle.discard(number)

    def leave(self, number: int) -> None:
        self._users[number] -= 1
        if not self._users[number]:
            del self._users[number]
            self._idle.add(number)

    def let_go(self) -> None:
        """Of what nobody uses any more."""
        idle, self._idle = self._idle, set()
        for number in idle:
            if number in self._classes:
                made = self._classes.pop(number)
                for identity in _all(self._having, made):
                    self._unpair((number, identity))
                _strike(self._granting, made, number)
            else:
                key = self._identities.pop(number)
                del self._by_key[key]
                for of_class in _all(self._granting, key):
                    self._unpair((of_class, number))
                _strike(self._having, key, number)
            self._forget(number)

    def cut_ports(self, ranges: Iterable[Range]) -> None:
        """These are the ranges that policies speak of from now on."""
        for span in self._spans:
            self._erase_span(span)
        for first, last, number in self._ports:
            self._elements.drop(Element("ports", (first, last)))
            self._forget(number)
        wanted = {(first, last): [(first, last)] for _, first, last in ranges}
        self._ports = [
            (piece.first, piece.last, self._number(f"ports {sorted(map(str, piece.held_by))}"))
            for piece in pieces(wanted)
        ]
        for first, last, number in self._ports:
            self._elements.put(Element("ports", (first, last)), (number,))
        for span in self._spans:
            self._write_span(span)

    def _pair(self, of_class: int, identity: int) -> None:
        allowed = pairing.pair(self._classes[of_class], self._identities[identity])
        made: Table = {Element(name, (of_class, identity, *rest)): () for name, rest in allowed.elements}
        if allowed.ranges:
            span = self._number("span\n" + "\n".join(sorted(map(str, allowed.ranges))))
            made[Element("spans", (of_class, identity))] = (span,)
            if not self._span_users[span]:
                self._spans[span] = allowed.ranges
                self._write_span(span)
            self._span_users[span] += 1
        self._pairs[of_class, identity] = made
        for element, value in made.items():
            self._elements.put(element, value)

    def _unpair(self, pair: tuple[int, int]) -> None:
        for element, value in self._pairs.pop(pair).items():
            self._elements.drop(element)
            if element.set == "spans":
                self._leave_span(int(value[0]))

    def _leave_span(self, span: int) -> None:
        self._span_users[span] -= 1
        if not self._span_users[span]:
            del self._span_users[span]
            self._erase_span(span)
            del self._spans[span]
            self._forget(span)

    def _span_elements(self, span: int) -> Iterator[Element]:
        for protocol, first, last in self._spans[span]:
            for begins, ends, piece in self._ports:
                if first <= begins and ends <= last:
                    yield Element("span", (span, protocol, piece))

    def _write_span(self, span: int) -> None:
        for element in self._span_elements(span):
            self._elements.put(element)

    def _erase_span(self, span: int) -> None:
        for element in self._span_elements(span):
            self._elements.drop(element)

    def _number(self, name: str) -> int:
        number = self._numbers.of(name)
        self._names[number] = name
        return number

    def _forget(self, number: int) -> None:
        self._numbers.forget(self._names.pop(number))


def _all(shelf: dict[Term, set[int]], terms: Iterable[Term]) -> set[int]:
    """Everything that the shelf has under one of the terms."""
    return {number for term in terms for number in shelf.get(term, ())}


def _strike(shelf: dict[Term, set[int]], terms: Iterable[Term], number: int) -> None:
    for term in terms:
        shelf[term].discard(number)
        if not shelf[term]:
            del shelf[term]
