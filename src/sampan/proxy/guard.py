"""The cluster's Service ranges as they grow: what lies in one and is no Service's is refused.

The ranges that the node was made with stand in the ruleset; ServiceCIDR objects may bring others. No external
address of a Service may lie in any of them (CVE-2020-8554).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from sampan.api.objects import Obj
from sampan.client.informer import Informer


class Guard:
    """`ranges`: all there are, those of the configuration first. One task: `run`.

    `program(more)` makes the kernel guard these, too; `changed()` is called once it does.
    """

    def __init__(
        self,
        informer: Informer,
        own: Sequence[str],
        program: Callable[[Sequence[str]], Awaitable[None]],
        changed: Callable[[], None],
    ) -> None:
        self._informer, self._own = informer, tuple(own)
        self._program, self._changed = program, changed
        self._wake = asyncio.Event()
        self.ranges = self._own
        self.doubted = False
        """The kernel may guard what another process told it to."""

    def watch(self) -> None:
        self._informer.subscribe(self._noted)

    async def run(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            listed = {cidr for obj in self._informer.list() for cidr in _cidrs(obj)}
            ranges = (*self._own, *sorted(listed.difference(self._own)))
            if ranges != self.ranges or self.doubted:
                await self._program(ranges[len(self._own) :])
                self.ranges, self.doubted = ranges, False
                self._changed()

    def _noted(self, old: Obj | None, new: Obj | None) -> None:
        self._wake.set()


def _cidrs(obj: Obj) -> Sequence[str]:
    return (obj.get("spec") or {}).get("cidrs") or ()
