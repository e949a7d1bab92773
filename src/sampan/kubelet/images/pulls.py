"""Pulls under way: equal ones are one, only a few run at once, and one that nobody waits for ends.

All on the event loop. `_running` holds what has not ended; a pull that was given up leaves it at once, so
that whoever asks next begins anew.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass, field

from sampan.kubelet.images.contract import Image

Began = Callable[[], None]


@dataclass(slots=True)
class _Pull:
    task: asyncio.Task[Image] | None = None
    waiters: int = 0
    has_begun: bool = False
    to_tell: list[Began] = field(default_factory=list)

    def begin(self) -> None:
        self.has_begun = True
        for tell in self.to_tell:
            tell()
        self.to_tell.clear()


class Pulls:
    def __init__(self, limit: int) -> None:
        self._turns = asyncio.Semaphore(limit)
        self._running: dict[Hashable, _Pull] = {}

    async def join(
        self, key: Hashable, work: Callable[[], Awaitable[Image]], began: Began | None = None
    ) -> Image:
        """The result of `work`, or of the equal pull that runs; `began` is called once it has a turn."""
        pull = self._running.get(key)
        if pull is None:
            pull = self._running[key] = _Pull()
            pull.task = asyncio.create_task(self._run(pull, work), name=f"pull {key}")
            pull.task.add_done_callback(lambda _: self._forget(key, pull))
        assert pull.task is not None
        if began is not None and pull.has_begun:
            began()
        elif began is not None:
            pull.to_tell.append(began)
        pull.waiters += 1
        try:
            # One waiter's cancellation leaves the others their pull.
            return await asyncio.shield(pull.task)
        finally:
            pull.waiters -= 1
            if not pull.waiters and not pull.task.done():
                self._forget(key, pull)
                pull.task.cancel()

    async def _run(self, pull: _Pull, work: Callable[[], Awaitable[Image]]) -> Image:
        async with self._turns:
            pull.begin()
            return await work()

    def _forget(self, key: Hashable, pull: _Pull) -> None:
        if self._running.get(key) is pull:
            del self._running[key]
