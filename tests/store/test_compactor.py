from __future__ import annotations

import asyncio

import pytest

from sampan.store.compactor import Compactor
from sampan.store.contract import Compacted, Put
from sampan.store.memory import MemoryStore


async def test_history_is_kept_for_one_interval_and_forgotten_after_two() -> None:
    store = MemoryStore()
    await store.open()
    for _ in range(5):
        await store.txn([Put("/a", b"")])
    running = asyncio.create_task(Compactor(store, interval_s=0.05).run())
    await asyncio.sleep(0.02)
    await store.txn([Put("/a", b"")])
    await asyncio.sleep(0.05)
    assert [event.revision for event in await anext(store.watch("/", after=5))] == [6]
    with pytest.raises(Compacted):
        await anext(store.watch("/", after=4))
    await asyncio.sleep(0.06)
    with pytest.raises(Compacted):
        await anext(store.watch("/", after=5))
    running.cancel()
    await asyncio.wait([running])
