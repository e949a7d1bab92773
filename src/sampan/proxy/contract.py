"""What the proxy needs of the kernel: a table of elements, changed by whole transactions."""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Protocol, TypeAlias

from sampan.proxy.frontends import Front
from sampan.proxy.rules import Flows
from sampan.proxy.table import Change, Table

SocketFactory: TypeAlias = Callable[[int, int, int], Awaitable[socket.socket]]
"""(family, kind, proto) -> a non-blocking socket in the node's network namespace."""

NftLoader: TypeAlias = Callable[[str], Awaitable[None]]
"""Loads nft text in the node's network namespace as one transaction."""


class NftFault(Exception):
    """The kernel refused a transaction, so nothing of it took effect."""


class TableDrifted(NftFault):
    """It refused because its table is not what we took it for: list it and go on from there."""


class Nft(Protocol):
    """The kernel's table. `apply` is synchronous: when it returns, packets see the change."""

    outdated: bool
    """Known after `open`: the table there is was made by other rules than these."""

    async def open(self) -> Table | None:
        """The elements of an earlier process' table; None when there is none."""

    async def create(self) -> None:
        """The static rules, with no elements but the fixed ones, where there were none."""

    async def replace(self, table: Table) -> None:
        """The static rules and this table instead of those that are outdated, in one transaction.

        Which client goes to which endpoint is remembered.
        """

    def apply(self, change: Change) -> None:
        """One transaction. Raises TableDrifted, NftFault."""

    async def guard(self, networks: Sequence[str]) -> None:
        """Refuses what goes to these networks, too, and is no Service's."""

    async def listing(self) -> Table:
        """All elements as they are now."""

    def close(self) -> None: ...


class Conntrack(Protocol):
    """The kernel's memory of flows, as far as the proxy must make it forget."""

    async def open(self) -> None: ...

    async def forget(self, flows: Collection[Flows], fronts: Collection[Front]) -> None:
        """Drops UDP flows to these endpoints, and those that came by these ways in."""

    def close(self) -> None: ...
