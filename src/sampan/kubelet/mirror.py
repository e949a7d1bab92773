"""Mirror Pods: what the API is told of static Pods. One task makes and removes them, one after the other.

A mirror that somebody deletes comes back; one that stands for nothing goes. Nothing that is done to a mirror
reaches the Pod.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from sampan.api.errors import StatusError
from sampan.api.objects import Obj, is_deleting, name_of, namespace_of, uid_of
from sampan.api.resources import PODS
from sampan.client.client import Client
from sampan.kubelet.staticpods import mirror_of, mirrored

RETRY_S = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0)

log = logging.getLogger(__name__)


class Mirrors:
    """By namespace/name: `running`, the static Pod on this node now, and `present`, the API's Pod.

    `node()`: the Node as the API has it, whose property mirrors are.
    """

    def __init__(
        self,
        client: Client,
        running: Callable[[str], Obj | None],
        present: Callable[[str], Obj | None],
        node: Callable[[], Obj | None],
    ) -> None:
        self._client, self._running, self._present, self._node = client, running, present, node
        self._due: set[str] = set()
        self._wake = asyncio.Event()
        self._failures: dict[str, int] = {}
        self._timers: dict[str, asyncio.TimerHandle] = {}

    def look(self, key: str) -> None:
        """Something has changed about a Pod of that namespace/name."""
        self._due.add(key)
        self._wake.set()

    async def run(self) -> None:
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                while self._due:
                    await self._settle(self._due.pop())
        finally:
            for timer in self._timers.values():
                timer.cancel()

    async def _settle(self, key: str) -> None:
        if (timer := self._timers.pop(key, None)) is not None:
            timer.cancel()
        try:
            await self._step(key)
        except (StatusError, OSError) as error:
            if isinstance(error, StatusError) and error.code == 409:
                return  # another Pod has the name, or has it by now: the watch tells when it goes
            failures = self._failures[key] = self._failures.get(key, 0) + 1
            if failures == 1:
                log.warning("mirror of static Pod %s: %s", key, error)
            pause_s = RETRY_S[min(failures, len(RETRY_S)) - 1]
            self._timers[key] = asyncio.get_running_loop().call_later(pause_s, self.look, key)
        else:
            self._failures.pop(key, None)

    async def _step(self, key: str) -> None:
        pod, there = self._running(key), self._present(key)
        if there is None:
            node = self._node()
            if pod is not None and node is not None:
                await self._client.create(PODS, mirror_of(pod, node))
            elif pod is not None:
                raise OSError("the Node is not registered")
        elif mirrored(there) and (pod is None or mirrored(there) != uid_of(pod) or is_deleting(there)):
            await self._remove(there)

    async def _remove(self, mirror: Obj) -> None:
        try:
            await self._client.delete(
                PODS, name_of(mirror), namespace=namespace_of(mirror), uid=uid_of(mirror), grace_period_s=0
            )
        except StatusError as error:
            if error.code != 404:
                raise
