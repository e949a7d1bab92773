"""Things of which each can be given away once: cluster addresses and node ports.

A pool knows who holds what. It is filled from the watch cache at start; a reservation is made before the
object is written and given back when the write fails, and a holding ends when the cache sees the object go.
All steps run on the event loop without an await between look and take, which is what rules out races.
"""

from __future__ import annotations

import ipaddress
import random
from collections.abc import Iterable


class Taken(Exception):
    """Somebody else holds it."""


class OutOfRange(Exception):
    """It does not belong to the pool."""


class Exhausted(Exception):
    """Nothing is left."""


class Pool:
    """Numbers `first` to `last`, each held by at most one owner.

    Automatic choice starts at random in the upper part: the lower `band` is left to those who ask for a
    certain number, and used only when the upper part is full (KEP-3070, KEP-3668).
    """

    def __init__(self, first: int, last: int, band: int) -> None:
        self.first, self.last, self.band = first, last, band
        self._holders: dict[int, str] = {}

    def take(self, number: int, owner: str) -> bool:
        """Reserves a number; False when the owner has it already. Raises Taken, OutOfRange."""
        if not self.first <= number <= self.last:
            raise OutOfRange(number)
        holder = self._holders.get(number)
        if holder == owner:
            return False
        if holder is not None:
            raise Taken(number)
        self._holders[number] = owner
        return True

    def take_any(self, owner: str) -> int:
        """Reserves a free number; raises Exhausted."""
        upper = self.first + self.band
        for low, high in ((upper, self.last), (self.first, min(upper - 1, self.last))):
            number = self._free(low, high)
            if number is not None:
                self._holders[number] = owner
                return number
        raise Exhausted

    def give_back(self, numbers: Iterable[int], owner: str) -> None:
        """Ends the owner's holdings; what others hold stays theirs."""
        for number in numbers:
            if self._holders.get(number) == owner:
                del self._holders[number]

    def holder(self, number: int) -> str | None:
        return self._holders.get(number)

    def __len__(self) -> int:
        return len(self._holders)

    def _free(self, low: int, high: int) -> int | None:
        if low > high:
            return None
        for _ in range(16):
            number = random.randint(low, high)
            if number not in self._holders:
                return number
        start = random.randint(low, high)
        ahead = (number for number in range(start, high + 1) if number not in self._holders)
        behind = (number for number in range(low, start) if number not in self._holders)
        return next(ahead, next(behind, None))


def address_pool(cidr: str) -> Pool:
    """The usable addresses of a Service range: neither the network's nor the broadcast address."""
    network = ipaddress.ip_network(cidr)
    first = int(network.network_address) + 1
    last = int(network.broadcast_address) - (1 if network.version == 4 else 0)
    size = last - first + 1
    return Pool(first, last, min(max(16, size // 16), 256, max(size - 1, 0)))


def port_pool(first: int, last: int) -> Pool:
    """Node ports, both ends included."""
    size = last - first + 1
    return Pool(first, last, min(max(16, size // 32), 128) if size > 16 else 0)
