"""What the policies need of the kernel: the table of elements, and what it has counted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Protocol

from sampan.proxy.contract import Nft
from sampan.proxy.policy.model import Direction
from sampan.proxy.policy.wire import Count


class Refused(NamedTuple):
    """Who was refused what; `port` is 0 where the protocol has none."""

    direction: Direction
    source: str
    destination: str
    protocol: str | int
    port: int


class PolicyTable(Nft, Protocol):
    """One table; `replace` makes it in one transaction, so that nothing is open in between."""

    async def dropped(self) -> Mapping[tuple[Direction, str], Count]:
        """What was dropped on its way to, or from, each isolated address since it is isolated."""

    async def refused(self) -> Mapping[Refused, Count]:
        """Who was refused in the last ten minutes, a few hundred at most."""
