"""The addresses that may be given to Services, and who has which. Pure state: nothing here is stored.

What is held is learned from the Services themselves, so after a restart it is what it was before. A holder is
a Service's uid: a new Service of an old name is somebody else.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from ipaddress import ip_address, ip_network


class Refused(Exception):
    """No address can be given; says why, for the user."""


class Pool:
    """Addresses of one family, lowest first: of a network (`192.0.2.0/24`) or from one to another
    (`192.0.2.10-192.0.2.20`).

    A network's own address and its last one are not given out, unless it has no others.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        first, dash, last = text.partition("-")
        if dash:
            self._address = type(ip_address(first))
            self._first, self._end = int(ip_address(first)), int(ip_address(last)) + 1
        else:
            network = ip_network(text)
            self._address = type(network.network_address)
            inner = int(network.num_addresses > 2)
            self._first = int(network.network_address) + inner
            self._end = int(network.broadcast_address) + 1 - inner
        self._free_from = self._first
        """No address below is free."""
        self._holders: dict[int, str] = {}

    def __len__(self) -> int:
        return self._end - self._first

    @property
    def family(self) -> str:
        return _family(self.text)

    def number_of(self, text: str) -> int | None:
        """The address as a number if the pool may give it out."""
        try:
            address = ip_address(text)
        except ValueError:
            return None
        number = int(address)
        same = isinstance(address, self._address)
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
        """ "" if there is none."""
        number = self._free_from
        while number in self._holders:
            number += 1
        self._free_from = number
        return str(self._address(number)) if number < self._end else ""


class Pools:
    """The pools of each family, in the order in which they are used. Owned by the controller; nothing here
    awaits, so nothing interleaves.

    `former`: pools that addresses came from earlier. Whoever has one of these is given another.
    """

    def __init__(self, texts: Iterable[str], former: Iterable[str] = ()) -> None:
        self._pools: dict[str, list[Pool]] = {}
        for pool in map(Pool, texts):
            self._pools.setdefault(pool.family, []).append(pool)
        self._former = [Pool(text) for text in former]
        self._held: dict[str, set[str]] = {}

    def covers(self, address: str) -> bool:
        return self._pool_of(address) is not None

    def gave(self, address: str) -> bool:
        """Whether it may come from here, now or earlier."""
        return self.covers(address) or any(pool.number_of(address) is not None for pool in self._former)

    def serves(self, address: str) -> bool:
        """Whether there is a pool of the address's family, be the address in it or not."""
        return _family(address) in self._pools

    def holds(self, holder: str, address: str) -> bool:
        pool = self._pool_of(address)
        return pool is not None and pool.holder(address) == holder

    def learn(self, holder: str, addresses: Iterable[str]) -> None:
        """Notes what a Service says it has; who came first keeps it."""
        for address in addresses:
            pool = self._pool_of(address)
            if pool is not None and pool.take(address, holder):
                self._held.setdefault(holder, set()).add(_canonical(address))

    def choose(
        self, holder: str, families: Iterable[str], asked: Collection[str], has: Iterable[str]
    ) -> list[str]:
        """One address for each family that has a pool, taken for `holder` at once, or none at all.

        `asked`: those that the user wants, one of a family at most; otherwise `has`, then what is held, is
        kept. Raises Refused.
        """
        wanted = [family for family in families if family in self._pools]
        asked_for: dict[str, str] = {}
        for address in asked:
            if _family(address) not in wanted:
                raise Refused(f"the address {address} is of no family that the Service has a pool of")
            if asked_for.setdefault(_family(address), address) != address:
                raise Refused(f"{asked_for[_family(address)]} and {address} are two of one family")
        if not wanted:
            raise Refused("there is no pool of any of the Service's address families")
        has = [_canonical(address) for address in has if self.holds(holder, address)]
        mine = [*has, *sorted(self._held.get(holder, ()))]
        chosen: list[str] = []
        for family in wanted:
            if family in asked_for:
                chosen.append(self._asked(asked_for[family], holder))
            else:
                kept = next((address for address in mine if _family(address) == family), "")
                chosen.append(kept or self._lowest_free(family))
        self.learn(holder, chosen)
        return chosen

    def keep(self, holder: str, addresses: Iterable[str] = ()) -> bool:
        """Gives back all that `holder` has but `addresses`; whether that was anything."""
        kept = {_canonical(address) for address in addresses if self.covers(address)}
        gone = self._held.get(holder, set()) - kept
        for address in gone:
            for pool in self._pools[_family(address)]:
                pool.give_back(address, holder)
            self._held[holder].discard(address)
        if not self._held.get(holder, True):
            del self._held[holder]
        return bool(gone)

    def _pool_of(self, address: str) -> Pool | None:
        pools = self._pools.get(_family(address), ())
        return next((pool for pool in pools if pool.number_of(address) is not None), None)

    def _lowest_free(self, family: str) -> str:
        pools = self._pools[family]
        for pool in pools:
            if found := pool.lowest_free():
                return found
        raise Refused(
            f"all {sum(map(len, pools))} addresses of {self._name(family)} are in use; "
            "delete a Service of type LoadBalancer or give it another type"
        )

    def _asked(self, asked: str, holder: str) -> str:
        pool = self._pool_of(asked)
        if pool is None:
            raise Refused(f"the address {asked} is not in {self._name(_family(asked))}")
        if pool.holder(asked) not in ("", holder):
            raise Refused(f"the address {asked} is in use by another Service")
        return _canonical(asked)

    def _name(self, family: str) -> str:
        texts = [pool.text for pool in self._pools[family]]
        return f"the pool{'s' if len(texts) > 1 else ''} {', '.join(texts)}"


def _canonical(address: str) -> str:
    return str(ip_address(address))


def _family(address: str) -> str:
    return "IPv6" if ":" in address else "IPv4"
