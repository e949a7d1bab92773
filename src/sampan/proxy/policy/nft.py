"""The policies' table in the kernel of one network namespace; keeps `contract.PolicyTable`."""

from __future__ import annotations

from collections.abc import Mapping

from sampan.proxy.contract import SocketFactory
from sampan.proxy.policy import ruleset, wire
from sampan.proxy.policy.contract import Refused
from sampan.proxy.policy.model import DIRECTIONS, Direction
from sampan.proxy.policy.ruleset import TABLE
from sampan.proxy.policy.wire import Count
from sampan.proxy.table import PROTOCOLS, Change, Table
from sampan.proxy.tablelink import Listing, TableLink


class KernelPolicyTable:
    def __init__(self, sockets: SocketFactory) -> None:
        self._link = TableLink(sockets, TABLE)

    async def open(self) -> Table | None:
        await self._link.open()
        return await self.listing() if self._link.has_chain(ruleset.version_chain()) else None

    async def replace(self, table: Table) -> None:
        self._link.commit(lambda first: wire.replacement(table, first), len(table))

    def apply(self, change: Change) -> None:
        if change:
            self._link.commit(lambda first: wire.transaction(change, first), change.size)

    async def listing(self) -> Table:
        return await self._link.listed(wire.SHAPES, _elements)

    async def dropped(self) -> Mapping[tuple[Direction, str], Count]:
        return await self._link.listed(wire.COUNTED, _dropped)

    async def refused(self) -> Mapping[Refused, Count]:
        return await self._link.listed(wire.LOST, _refused)

    def close(self) -> None:
        self._link.close()


def _elements(listing: Listing) -> Table:
    found: Table = {}
    for name, replies in listing:
        found.update(wire.elements(name, replies))
    return found


def _dropped(listing: Listing) -> Mapping[tuple[Direction, str], Count]:
    return {
        (_direction(name), str(key[0])): count
        for name, replies in listing
        for key, count in wire.counts(wire.COUNTED[name], replies).items()
    }


def _refused(listing: Listing) -> Mapping[Refused, Count]:
    found: dict[Refused, Count] = {}
    for name, replies in listing:
        for key, count in wire.counts(wire.LOST[name], replies).items():
            source, destination, protocol, port = key
            known = int(port) if protocol in PROTOCOLS else 0
            about = Refused(_direction(name), str(source), str(destination), protocol, known)
            earlier = found.get(about, Count(0, 0))
            found[about] = Count(earlier.packets + count.packets, earlier.bytes + count.bytes)
    return found


def _direction(set_name: str) -> Direction:
    ingress, egress = DIRECTIONS
    return ingress if set_name[4:6] == "in" else egress
