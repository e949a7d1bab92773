"""A kernel of dictionaries: keeps `contract.Nft` and `contract.Conntrack`, as strict as the real one."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from sampan.proxy.contract import TableDrifted
from sampan.proxy.frontends import Front
from sampan.proxy.rules import Flows
from sampan.proxy.ruleset import fixed_elements
from sampan.proxy.table import Change, Table, applied


class FakeNft:
    """`table` is None before anything was loaded. Change it behind the proxy's back to play a drift."""

    def __init__(self, table: Table | None = None) -> None:
        self.table = table
        self.changes: list[Change] = []
        self.replaced = 0
        self.outdated = False
        self.guarded: tuple[str, ...] = ()

    async def open(self) -> Table | None:
        return None if self.table is None else dict(self.table)

    async def create(self) -> None:
        self.table = fixed_elements()

    async def replace(self, table: Table) -> None:
        self.table = dict(table)
        self.outdated = False
        self.replaced += 1

    def apply(self, change: Change) -> None:
        try:
            self.table = applied(self.table or {}, change)
        except (KeyError, ValueError) as error:
            raise TableDrifted(str(error)) from error
        if change:
            self.changes.append(change)

    async def guard(self, networks: Sequence[str]) -> None:
        self.guarded = tuple(networks)

    async def listing(self) -> Table:
        return dict(self.table or {})

    def close(self) -> None:
        return


class FakeConntrack:
    def __init__(self) -> None:
        self.forgotten: list[Flows] = []
        self.fronts: list[Front] = []

    async def open(self) -> None:
        return

    async def forget(self, flows: Collection[Flows], fronts: Collection[Front]) -> None:
        self.forgotten += flows
        self.fronts += fronts

    def close(self) -> None:
        return
