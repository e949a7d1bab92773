"""Audits come when they are due, at once after a refusal, and again after a fault."""

from __future__ import annotations

import asyncio

import pytest

from sampan.proxy import audits
from sampan.proxy.contract import NftFault

pytestmark = pytest.mark.virtual_time


class Audited:
    def __init__(self, faults: int = 0) -> None:
        self.drifted = asyncio.Event()
        self.count, self._faults = 0, faults
        self.came = asyncio.Event()

    async def audit(self) -> int:
        self.count += 1
        if self.count <= self._faults:
            raise NftFault("not now")
        self.drifted.clear()
        self.came.set()
        return 0

    async def until_good(self, every_s: float) -> None:
        task = asyncio.create_task(audits.now_and_then(self.audit, self.drifted, every_s))
        try:
            async with asyncio.timeout(30):
                await self.came.wait()
        finally:
            task.cancel()


async def test_one_that_is_due() -> None:
    audited = Audited()
    await audited.until_good(0.001)
    assert audited.count == 1


async def test_one_after_a_refusal_does_not_wait() -> None:
    audited = Audited()
    audited.drifted.set()
    await audited.until_good(3600)
    assert audited.count == 1


async def test_a_fault_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audits, "RETRY_S", 0)
    audited = Audited(faults=2)
    audited.drifted.set()
    await audited.until_good(3600)
    assert audited.count == 3
