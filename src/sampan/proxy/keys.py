"""Numbers for service ports: 24 bits, kept as long as the port lives and across restarts of this process.

A key is also the conntrack mark of every flow of its service port, so a freed one rests as long as possible.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from sampan.proxy.table import FRONTENDS, KEY_MASK, Element, Fields


class Frontend(NamedTuple):
    """The cluster address of a service port, or a node's of a host port: what it is known by, and unique."""

    address: str
    protocol: str
    port: int


class Keys:
    def __init__(self) -> None:
        self._keys: dict[Frontend, int] = {}
        self._used: set[int] = set()
        self._last = 0

    def adopt(self, table: Mapping[Element, Fields]) -> None:
        """Takes over the keys of a table that the kernel has from an earlier process."""
        for (name, key), value in table.items():
            if name.startswith(FRONTENDS):
                address, protocol, port = key
                number = int(value[0]) & KEY_MASK
                if number not in self._used:
                    self._keys[Frontend(str(address), str(protocol), int(port))] = number
                    self._used.add(number)
                    self._last = max(self._last, number)

    def key(self, frontend: Frontend) -> int:
        """The port's key; a new one if it has none."""
        found = self._keys.get(frontend)
        if found is None:
            found = self._keys[frontend] = self._next()
            self._used.add(found)
        return found

    def release(self, frontend: Frontend) -> None:
        number = self._keys.pop(frontend, None)
        if number is not None:
            self._used.discard(number)

    def _next(self) -> int:
        number = self._last
        while True:
            number = number % KEY_MASK + 1
            if number not in self._used:
                self._last = number
                return number
