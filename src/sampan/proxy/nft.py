"""The Service proxy's table in the kernel of one network namespace; keeps `contract.Nft`."""

from __future__ import annotations

from collections.abc import Sequence

from sampan.proxy import affinity, ruleset, wire
from sampan.proxy.affinity import Client
from sampan.proxy.contract import NftLoader, SocketFactory
from sampan.proxy.ruleset import FamilyConstants
from sampan.proxy.table import TABLE, Change, Table
from sampan.proxy.tablelink import Listing, TableLink


class KernelNft:
    def __init__(
        self, sockets: SocketFactory, loader: NftLoader, families: Sequence[FamilyConstants]
    ) -> None:
        self._link = TableLink(sockets, TABLE)
        self._load = loader
        self._families = tuple(families)
        self.outdated = False

    async def open(self) -> Table | None:
        await self._link.open()
        if not self._link.has_chain(ruleset.ENTRY_CHAIN):
            return None
        self.outdated = not self._link.has_chain(ruleset.version_chain(self._families))
        return await self.listing()

    async def create(self) -> None:
        await self._load(ruleset.text(self._families))

    async def replace(self, table: Table) -> None:
        # Text is slow for thousands of elements, but it comes in one transaction with the rules. Those there
        # are serve traffic now: they must not go before ours are complete.
        clients = await self._link.listed([f"aff{suffix}" for suffix in self._suffixes()], _clients)
        await self._load(ruleset.text(self._families, table, affinity.clients_text(clients)))
        self.outdated = False

    def apply(self, change: Change) -> None:
        if change:
            versions = [family.version for family in self._families]
            self._link.commit(lambda first: wire.transaction(change, first, versions), change.size)

    async def guard(self, networks: Sequence[str]) -> None:
        await self._load(ruleset.guards_text(self._families, networks))

    async def listing(self) -> Table:
        names = [name for name in wire.SHAPES if name[-1] not in "46" or name[-1] in self._suffixes()]
        return await self._link.listed(names, _elements)

    def close(self) -> None:
        self._link.close()

    def _suffixes(self) -> set[str]:
        return {family.suffix for family in self._families}


def _elements(listing: Listing) -> Table:
    found: Table = {}
    for _, replies in listing:
        for reply in replies:
            found.update(wire.elements(reply))
    return found


def _clients(listing: Listing) -> list[Client]:
    return [client for _, replies in listing for reply in replies for client in wire.clients(reply)]
