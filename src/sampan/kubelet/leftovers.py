"""What an earlier process left of Pods: taken over by their workers, or ended if the API knows them no more.

A worker that failed leaves the same behind as a process that was killed, and is followed in the same way. All
on the event loop; whatever is taken is the taker's alone.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Mapping
from typing import NamedTuple

from sampan.kubelet import preparation
from sampan.kubelet.departure import RELEASE_RETRY_S
from sampan.kubelet.network.contract import NetworkFault
from sampan.kubelet.parts import Parts
from sampan.kubelet.runtime.contract import Record, RuntimeFault, Sandbox
from sampan.kubelet.stopsignal import signal_number

GRACE_S = 10.0
"""For the containers of a Pod of which nobody knows any more how long it wanted."""

log = logging.getLogger(__name__)


class Left(NamedTuple):
    """Of one Pod."""

    sandbox: Sandbox | None
    records: list[Record]


class Leftovers:
    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._left: dict[str, Left] = {}
        """By Pod uid: what nobody has taken yet."""
        self._ends: dict[str, asyncio.Event] = {}
        """Of the containers that are being ended, by id."""

    async def look(self) -> None:
        """Once the runtime is open. What was created and not yet started is discarded: it is made anew."""
        for record in list(self._parts.runtime.records()):
            if record.exit is None and not record.started_at_s:
                await self._parts.runtime.remove(record.spec.id)
        self._left = self._found()

    def take(self, uid: str) -> Left:
        """What was found of the Pod; nothing the second time."""
        return self._left.pop(uid, Left(None, []))

    def take_all(self) -> list[tuple[str, Left]]:
        """Once all Pods that the API knows have taken theirs: what is left belongs to nobody."""
        rest, self._left = list(self._left.items()), {}
        return rest

    def of(self, uid: str) -> Left:
        """What there is of the Pod now."""
        return self._found().get(uid, Left(None, []))

    def ended(self, container_id: str) -> bool:
        """Whether the container that has ended is one of these."""
        if (end := self._ends.get(container_id)) is None:
            return False
        end.set()
        return True

    async def end(self, uid: str, left: Left) -> None:
        """Ends the containers of a Pod that was deleted while nobody looked, and gives back what it had."""
        log.info("ending containers of Pod %s, which is gone from the API", uid)
        running = [record.spec for record in left.records if record.exit is None]
        ends = {spec.id: asyncio.Event() for spec in running}
        self._ends.update(ends)
        for spec in running:
            self._parts.runtime.signal(spec.id, signal_number(spec.stop_signal))
        try:
            async with asyncio.timeout(GRACE_S):
                for end in ends.values():
                    await end.wait()
        except TimeoutError:
            log.info("killing what is left of Pod %s", uid)
        # Removing the sandbox kills what still runs.
        while True:
            try:
                await preparation.release(self._parts, uid)
                break
            except (RuntimeFault, NetworkFault, OSError) as fault:
                log.warning("Pod %s, which is gone from the API, is still there: %s", uid, fault)
            await asyncio.sleep(RELEASE_RETRY_S)
        await preparation.forget(self._parts, uid)
        for container_id in ends:
            del self._ends[container_id]

    def _found(self) -> dict[str, Left]:
        """By Pod uid: what is on the node now, be it no more than volumes half made."""
        records: Mapping[str, list[Record]] = defaultdict(list)
        for record in self._parts.runtime.records():
            records[record.spec.sandbox].append(record)
        sandboxes = {sandbox.uid: sandbox for sandbox in self._parts.runtime.sandboxes()}
        directories = (entry.name for entry in self._parts.config.pods.iterdir())
        return {
            uid: Left(sandboxes.get(uid), records.get(uid, []))
            for uid in {*sandboxes, *records, *directories}
        }
