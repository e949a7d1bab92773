"""A kernel of dictionaries: keeps `contract.PolicyTable`, as strict as the real one."""

from __future__ import annotations

from collections.abc import Mapping

from sampan.proxy.fake import FakeNft
from sampan.proxy.policy.contract import Refused
from sampan.proxy.policy.model import Direction
from sampan.proxy.policy.wire import Count
from sampan.proxy.table import Table


class FakePolicyTable(FakeNft):
    def __init__(self, table: Table | None = None) -> None:
        super().__init__(table)
        self.counts: dict[tuple[Direction, str], Count] = {}
        self.lost: dict[Refused, Count] = {}

    async def dropped(self) -> Mapping[tuple[Direction, str], Count]:
        return self.counts

    async def refused(self) -> Mapping[Refused, Count]:
        return self.lost
