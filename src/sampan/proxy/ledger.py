"""Whose element is whose: all Services' fragments put together into one table, one change at a time. Pure.

Invariants: `table` is the union of the fragments in `_fragments`. Whether an element belongs to one Service
alone or may be needed by several follows from its set. One that is claimed by several all the same is in
`_contested` with those who do not have it: the first keeps it until it lets go. `_shared` counts how many
Services need an element that may be needed by several.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from sampan.proxy.frontends import Front
from sampan.proxy.rules import EMPTY, Flows, Fragment, stale
from sampan.proxy.table import MADE_ONCE, Change, Element, Fields, Table


@dataclass(frozen=True, slots=True)
class Step:
    """What one update does: to the kernel's table, and to what conntrack remembers."""

    change: Change
    stale_flows: frozenset[Flows]
    changed_fronts: frozenset[Front]
    """Ways in for UDP that are new or gone: who used them before must be led anew."""


class Ledger:
    def __init__(self, fixed: Mapping[Element, Fields] | None = None) -> None:
        """`fixed` elements are always there: the static ruleset brings them."""
        self.table: Table = dict(fixed or {})
        self._touched: set[Element] | None = None
        """What updates have changed, while somebody wants to know."""
        self._fixed = frozenset(self.table)
        self._fragments: dict[str, Fragment] = {}
        self._shared: Counter[Element] = Counter()
        self._ready: Counter[str] = Counter()
        self._contested: dict[Element, dict[str, None]] = {}

    def fragment(self, service: str) -> Fragment:
        return self._fragments.get(service, EMPTY)

    def services(self) -> list[str]:
        return list(self._fragments)

    def leads_to(self, address: str) -> bool:
        """Whether any Service sends new connections to this address because it is ready."""
        return self._ready[address] > 0

    @contextmanager
    def touched(self) -> Iterator[set[Element]]:
        """Collects what updates change as long as the block runs."""
        self._touched = set()
        try:
            yield self._touched
        finally:
            self._touched = None

    def update(self, fragments: Mapping[str, Fragment]) -> Step:
        """Replaces these Services' fragments (EMPTY: gone) and tells what changes."""
        flows: set[Flows] = set()
        fronts: set[Front] = set()
        for service, new in fragments.items():
            old = self.fragment(service)
            if old.flows or old.udp_fronts or new.udp_fronts:
                flows |= stale(old.flows, new.flows)
                fronts |= new.udp_fronts ^ old.udp_fronts
        before = self.fill(fragments)
        if self._touched is not None:
            self._touched.update(before)
        return Step(self._change(before), frozenset(flows), frozenset(fronts))

    def fill(self, fragments: Mapping[str, Fragment]) -> dict[Element, Fields | None]:
        """The same for those who make the first table; answers what was there before."""
        before: dict[Element, Fields | None] = {}
        waiting: list[tuple[str, Element]] = []
        for service, new in fragments.items():
            for element, value in self.fragment(service).elements.items():
                if new.elements.get(element) != value:
                    waiting += self._give_up(service, element, before)
        for service, new in fragments.items():
            old = self.fragment(service)
            for element, value in new.elements.items():
                if old is EMPTY or old.elements.get(element) != value:
                    self._claim(service, element, value, before)
            self._count(old, new, before)
            if new is EMPTY:
                self._fragments.pop(service, None)
            else:
                self._fragments[service] = new
        for service, element in waiting:
            if service in self._contested.get(element, ()) and element not in self.table:
                self._withdraw(service, element)
                self._claim(service, element, self._fragments[service].elements[element], before)
        return before

    def _give_up(
        self, service: str, element: Element, before: dict[Element, Fields | None]
    ) -> list[tuple[str, Element]]:
        """Takes the element out of the table, if the Service has it; the claims of those who wait for it."""
        waiting = self._contested.get(element, {})
        if service in waiting:
            self._withdraw(service, element)
            return []
        before.setdefault(element, self.table[element])
        del self.table[element]
        return [(other, element) for other in waiting]

    def _claim(
        self, service: str, element: Element, value: Fields, before: dict[Element, Fields | None]
    ) -> None:
        """Puts it into the table, unless another Service has it."""
        if element in self.table:
            self._contested.setdefault(element, {})[service] = None
        else:
            before.setdefault(element, None)
            self.table[element] = value

    def _withdraw(self, service: str, element: Element) -> None:
        waiting = self._contested[element]
        del waiting[service]
        if not waiting:
            del self._contested[element]

    def _count(self, old: Fragment, new: Fragment, before: dict[Element, Fields | None]) -> None:
        for element, value in new.shared.items():
            self._shared[element] += 1
            if element not in self.table:
                before.setdefault(element, None)
                self.table[element] = value
        for element in old.shared:
            self._shared[element] -= 1
            if not self._shared[element]:
                del self._shared[element]
                # Chains and their classes stay: making one costs more than keeping it.
                if element not in self._fixed and element.set not in MADE_ONCE:
                    before.setdefault(element, self.table[element])
                    del self.table[element]
        for address in new.ready:
            self._ready[address] += 1
        for address in old.ready:
            self._ready[address] -= 1
            if not self._ready[address]:
                del self._ready[address]

    def _change(self, before: Mapping[Element, Fields | None]) -> Change:
        delete = []
        add = []
        for element, was in before.items():
            now = self.table.get(element)
            if was != now:
                if was is not None:
                    delete.append((element, was))
                if now is not None:
                    add.append((element, now))
        return Change(tuple(delete), tuple(add))
