"""Waiting until no rule leads to a Pod: what the kubelet does before it tells one to stop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable

from sampan.api.objects import Obj, key_of
from sampan.api.podspec import pod_ips

log = logging.getLogger(__name__)

ON_ITS_WAY_S = 1.0
"""Packets that saw rules older than this have arrived."""
TIMEOUT_S = 2.0
LOOK_S = 0.1


class Drain:
    """`leads_to(addresses)`: whether new connections go to one of them because it is ready.

    `forgotten()` returns once the kernel has forgotten the UDP flows of what is gone by now: their datagrams
    would follow their flow past all rules. `settled()` returns once the kernel has done with each packet that
    it had in its hands.
    """

    def __init__(
        self,
        leads_to: Callable[[set[str]], bool],
        forgotten: Callable[[], Awaitable[None]],
        settled: Callable[[], Awaitable[None]],
    ) -> None:
        self._leads_to = leads_to
        self._forgotten = forgotten
        self._settled = settled
        self._changed_s = float("-inf")
        self._moved: set[asyncio.Event] = set()
        """Set after each transaction; one for each that waits."""

    def announce(self) -> None:
        """Rules have changed, or flows were forgotten."""
        self._changed_s = time.monotonic()
        for moved in self._moved:
            moved.set()

    async def wait(self, pod: Obj) -> None:
        """Returns once no rule, no flow of UDP and no packet on its way leads to the Pod, or after 2 s."""
        addresses = set(pod_ips(pod))
        if (pod.get("spec") or {}).get("hostNetwork"):
            return
        moved = asyncio.Event()
        self._moved.add(moved)
        try:
            await self._unled(addresses, moved)
            async with asyncio.timeout(TIMEOUT_S):
                await self._forgotten()
                # Not for this Pod alone: its rules may have gone just before anybody asked.
                if time.monotonic() < self._changed_s + ON_ITS_WAY_S:
                    await self._settled()  # past the rule, perhaps queued before the Pod
                    await self._settled()  # and out of that queue
        except TimeoutError:
            log.warning("rules or flows still lead to %s after %g s", key_of(pod), TIMEOUT_S)
        finally:
            self._moved.discard(moved)

    async def _unled(self, addresses: set[str], moved: asyncio.Event) -> None:
        """Until no rule leads there; TimeoutError after 2 s, in which our standing still counts little."""
        clock, waited_s = asyncio.get_running_loop().time, 0.0
        while self._leads_to(addresses):
            if waited_s >= TIMEOUT_S:
                raise TimeoutError
            begun_s = clock()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S):
                    await moved.wait()
            moved.clear()
            waited_s += min(LOOK_S, clock() - begun_s)
