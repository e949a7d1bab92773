"""A table that remembers what was changed in it. Pure."""

from __future__ import annotations

from sampan.proxy.table import Change, Element, Fields, Table


class Elements:
    """`touched` is what `take` has told of since somebody last emptied it."""

    def __init__(self) -> None:
        self.table: Table = {}
        self.touched: set[Element] = set()
        self._before: dict[Element, Fields | None] = {}

    def put(self, element: Element, value: Fields = ()) -> None:
        self._set(element, value)

    def drop(self, element: Element) -> None:
        self._set(element, None)

    def keep(self, element: Element, *, wanted: bool) -> None:
        self._set(element, () if wanted else None)

    def number(self, element: Element, number: int) -> None:
        """A map's value; with 0 there is no element."""
        self._set(element, (number,) if number else None)

    def take(self) -> Change:
        """What has become other than it was at the last call."""
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

    def _set(self, element: Element, value: Fields | None) -> None:
        was = self.table.get(element)
        if was == value:
            return
        self._before.setdefault(element, was)
        if value is None:
            del self.table[element]
        else:
            self.table[element] = value
