"""Things of which each can be given away once: cluster addresses and node ports.

A pool knows who holds what. It is filled from the watch cache at start; a reservation is made before the
object is written and given back when the write fails, and a holding ends when the cache sees the object go.
All steps run on the event loop without an await between look and take, which is what rules out races.
"""

from __future__ import annotations

import ipaddress
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass


class Taken(Exception):
    """Somebody else holds it."""


class OutOfRange(Exception):
    """It does not belong to the pool."""


class Exhausted(Exception):
    """Nothing is left."""


@dataclass(frozen=True, slots=True)
class Range:
    """Numbers `first` to `last`, both included.

    Automatic choice leaves the lower `band` to those who ask for a certain number, and uses it only when
    the upper part is full (KEP-3070 for addresses, KEP-3668 for ports).
    """

    first: int
    last: int
    band: int = 0

    def __contains__(self, number: int) -> bool:
        return self.first <= number <= self.last


def address_range(cidr: str) -> Range:
    """The usable addresses of a Service range: neither the network's nor, in IPv4, the broadcast address."""
    network = ipaddress.ip_network(cidr)
    first = int(network.network_address) + 1
    last = int(network.broadcast_address) - (1 if network.version == 4 else 0)
    return Range(first, last, _band(network.num_addresses, step=16, most=256))


def port_range(first: int, last: int) -> Range:
    return Range(first, last, _band(last - first + 1, step=32, most=128))


def _band(size: int, *, step: int, most: int) -> int:
    """A `step`th of the whole, at least 16 and at most `most`; ranges of up to 16 have none."""
    return 0 if size <= 16 else min(max(16, size // step), most)


def _nowhere(number: int) -> bool:
    return False


class Pool:
    """The numbers of some ranges, each held by at most one owner.

    Ranges may overlap, come and go; who holds a number keeps it. `elsewhere` says of a number that nobody
    holds here whether it is taken all the same.
    """

    def __init__(self, ranges: Iterable[Range] = (), elsewhere: Callable[[int], bool] = _nowhere) -> None:
        self.ranges: Sequence[Range] = tuple(ranges)
        self._elsewhere = elsewhere
        self._holders: dict[int, str] = {}

    def take(self, number: int, owner: str) -> bool:
        """Reserves a number; False when the owner has it already. Raises Taken, OutOfRange."""
        holder = self._holders.get(number)
        if holder == owner:
            return False
        if not any(number in each for each in self.ranges):
            raise OutOfRange(number)
        if holder is not None or self._elsewhere(number):
            raise Taken(number)
        self._holders[number] = owner
        return True

    def take_any(self, owner: str) -> int:
        """Reserves a free number of the first range that has one; raises Exhausted."""
        for each in self.ranges:
            upper = each.first + each.band
            for low, high in ((upper, each.last), (each.first, min(upper - 1, each.last))):
                number = self._free(low, high)
                if number is not None:
                    self._holders[number] = owner
                    return number
        raise Exhausted

    def hold(self, number: int, owner: str) -> None:
        """What is written is held, wherever it lies; who held it before keeps it."""
        self._holders.setdefault(number, owner)

    def give_back(self, numbers: Iterable[int], owner: str) -> None:
        """Ends the owner's holdings; what others hold stays theirs."""
        for number in numbers:
            if self._holders.get(number) == owner:
                del self._holders[number]

    def holder(self, number: int) -> str | None:
        return self._holders.get(number)

    def __iter__(self) -> Iterator[int]:
        return iter(self._holders)

    def __len__(self) -> int:
        return len(self._holders)

    def _is_free(self, number: int) -> bool:
        return number not in self._holders and not self._elsewhere(number)

    def _free(self, low: int, high: int) -> int | None:
        if low > high:
            return None
        for _ in range(16):
            number = random.randint(low, high)
            if self._is_free(number):
                return number
        start = random.randint(low, high)
        ahead = (number for number in range(start, high + 1) if self._is_free(number))
        behind = (number for number in range(low, start) if self._is_free(number))
        return next(ahead, next(behind, None))
