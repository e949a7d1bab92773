"""Forgets old history now and then, so that the log holds no more than what watchers may still ask for."""

from __future__ import annotations

import asyncio
import logging

from sampan.store.contract import Store, StoreError

INTERVAL_S = 300.0
"""Upstream's default of `--etcd-compaction-interval`."""

log = logging.getLogger(__name__)


class Compactor:
    """Keeps at least the last `interval_s` seconds of history, and at most twice that."""

    def __init__(self, store: Store, *, interval_s: float = INTERVAL_S) -> None:
        self._store = store
        self._interval_s = interval_s

    async def run(self) -> None:
        """Works until cancelled."""
        seen = self._store.revision
        compacted = 0
        while True:
            await asyncio.sleep(self._interval_s)
            if seen > compacted:
                try:
                    await self._store.compact(seen)
                    compacted = seen
                except StoreError as error:
                    log.warning("compaction at revision %d failed, will try again: %s", seen, error)
            seen = self._store.revision
