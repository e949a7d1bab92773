"""The one pattern of all controllers: informers feed keys to a queue, workers reconcile one key at a time.

Each worker is a task of `run`'s task group. Two workers never hold the same key; different keys interleave at
every await of `reconcile`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeAlias
from weakref import WeakSet

from sampan.api.errors import StatusError
from sampan.api.objects import Obj, key_of
from sampan.client.informer import Informer
from sampan.client.workqueue import WorkQueue

Reconcile: TypeAlias = Callable[[str], Awaitable[float | None]]

log = logging.getLogger(__name__)


def own_key(obj: Obj) -> Iterable[str]:
    return (key_of(obj),)


RUNNING: WeakSet[Controller] = WeakSet()
"""All of this process, for those who count their queues."""


class Controller:
    """`reconcile(key)` looks at the world and acts; a returned number asks for another look so many
    seconds on.

    When it raises, the key is tried again with growing delays. Conflicts are part of the game and not logged.
    """

    def __init__(self, name: str, reconcile: Reconcile, *, workers: int = 4) -> None:
        self.name = name
        self.queue: WorkQueue[str] = WorkQueue()
        self._reconcile = reconcile
        self._workers = workers
        RUNNING.add(self)

    def enqueue(self, key: str) -> None:
        self.queue.add(key)

    def follow(self, informer: Informer, map: Callable[[Obj], Iterable[str]] = own_key) -> None:
        """Enqueues the keys that `map` names, for the old and the new state of everything that changes."""

        def changed(old: Obj | None, new: Obj | None) -> None:
            for obj in (old, new):
                if obj is not None:
                    for key in map(obj):
                        self.queue.add(key)

        informer.subscribe(changed)

    async def run(self) -> None:
        """Works until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                for number in range(self._workers):
                    group.create_task(self._work(), name=f"{self.name}-{number}")
        finally:
            self.queue.shut_down()

    async def _work(self) -> None:
        while True:
            key = await self.queue.get()
            try:
                await self._handle(key)
            finally:
                self.queue.done(key)

    async def _handle(self, key: str) -> None:
        try:
            again_s = await self._reconcile(key)
        except StatusError as error:
            if error.code != 409:
                log.warning("%s: %s: %s", self.name, key, error.message)
            self.queue.add_rate_limited(key)
        except OSError as error:
            log.warning("%s: %s: %s", self.name, key, error)
            self.queue.add_rate_limited(key)
        except Exception:
            log.exception("%s: %s: reconcile failed", self.name, key)
            self.queue.add_rate_limited(key)
        else:
            self.queue.forget(key)
            if again_s is not None:
                self.queue.add_after(key, again_s)
