"""The addresses that may be given to Services, and who has which. Pure state: nothing here is stored.

What is held is learned from the Services themselves, so after a restart it is what it was before. A holder is
a Service's uid: a new Service of an old name is somebody else.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import TypeAlias

Network: TypeAlias = IPv4Network | IPv6Network


class Refused(Exception):
    """No address can be given; says why, for the user."""


class Pool:
    """The addresses of one family, lowest first. The network's own and its last address are not given out."""

    def __init__(self, cidr: str) -> None:
        self.network: Network = ip_network(cidr)
        self._first = int(self.network.network_address) + 1
        self._end = int(self.network.broadcast_address)
        self._free_from = self._first
        """No address below is free."""
        self._holders: dict[int, str] = {}

    @property
    def family(self) -> str:
        return f"IPv{self.network.version}"

    def number_of(self, text: str) -> int | None:
        """The address as a number if the pool may give it out."""
        try:
            address = ip_address(text)
        except ValueError:
            return None
        number = int(address)
        same = address.version == self.network.version
        return number if same and self._first <= number < self._end else None

    def holder(self, text: str) -> str:
        """The uid of who has the address; "" for nobody, or for an address of another pool."""
        number = self.number_of(text)
        return "" if number is None else self._holders.get(number, "")

    def take(self, text: str, holder: str) -> bool:
        """False if somebody else has it or it is none of the pool's."""
        number = self.number_of(text)
        return number is not None and self._holders.setdefault(number, holder) == holder

    def give_back(self, text: str, holder: str) -> None:
        number = self.number_of(text)
        if number is not None and self._holders.get(number) == holder:
            del self._holders[number]
            self._free_from = min(self._free_from, number)

    def lowest_free(self) -> str:
        """Raises Refused if there is none."""
        number = self._free_from
        while number in self._holders:
            number += 1
        self._free_from = number
        if number >= self._end:
            raise Refused(
                f"all {self._end - self._first} addresses of the pool {self.network} are in use; "
                "delete a Service of type LoadBalancer or give it another type"
            )
        return str(type(self.network.network_address)(number))


class Pools:
    """One pool for each family. Owned by the controller; nothing here awaits, so nothing interleaves."""

    def __init__(self, cidrs: Iterable[str]) -> None:
        self._pools = {pool.family: pool for pool in map(Pool, cidrs)}
        self._held: dict[str, set[str]] = {}

    def covers(self, address: str) -> bool:
        return self.serves(address) and self._pool_of(address).number_of(address) is not None

    def serves(self, address: str) -> bool:
        """Whether there is a pool of the address's family, be the address in it or not."""
        return _family(address) in self._pools

    def holds(self, holder: str, address: str) -> bool:
        return self.covers(address) and self._pool_of(address).holder(address) == holder

    def learn(self, holder: str, addresses: Iterable[str]) -> None:
        """Notes what a Service says it has; who came first keeps it."""
        for address in addresses:
            if self.covers(address) and self._pool_of(address).take(address, holder):
                self._held.setdefault(holder, set()).add(_canonical(address))

    def choose(self, holder: str, families: Iterable[str], asked: str, has: Iterable[str]) -> list[str]:
        """One address for each family that has a pool, taken for `holder` at once, or none at all.

        `asked` (or "") is the one that the user wants; otherwise `has`, then what is held, is kept.
        Raises Refused.
        """
        wanted = [family for family in families if family in self._pools]
        if asked and _family(asked) not in wanted:
            raise Refused(f"spec.loadBalancerIP {asked} is of no family that the Service has a pool of")
        if not wanted:
            raise Refused("there is no pool of any of the Service's address families")
        has = [_canonical(address) for address in has if self.holds(holder, address)]
        mine = [*has, *sorted(self._held.get(holder, ()))]
        chosen: list[str] = []
        for family in wanted:
            pool = self._pools[family]
            if asked and _family(asked) == family:
                chosen.append(_asked(pool, asked, holder))
            else:
                kept = next((address for address in mine if _family(address) == family), "")
                chosen.append(kept or pool.lowest_free())
        self.learn(holder, chosen)
        return chosen

    def keep(self, holder: str, addresses: Iterable[str] = ()) -> bool:
        """Gives back all that `holder` has but `addresses`; whether that was anything."""
        kept = {_canonical(address) for address in addresses if self.covers(address)}
        gone = self._held.get(holder, set()) - kept
        for address in gone:
            self._pool_of(address).give_back(address, holder)
            self._held[holder].discard(address)
        if not self._held.get(holder, True):
            del self._held[holder]
        return bool(gone)

    def _pool_of(self, address: str) -> Pool:
        return self._pools[_family(address)]


def _asked(pool: Pool, asked: str, holder: str) -> str:
    number = pool.number_of(asked)
    if number is None:
        raise Refused(f"spec.loadBalancerIP {asked} is not in the pool {pool.network}")
    if pool.holder(asked) not in ("", holder):
        raise Refused(f"spec.loadBalancerIP {asked} is in use by another Service")
    return _canonical(asked)


def _canonical(address: str) -> str:
    return str(ip_address(address))


def _family(address: str) -> str:
    return "IPv6" if ":" in address else "IPv4"
