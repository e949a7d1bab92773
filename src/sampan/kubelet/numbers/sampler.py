"""Takes readings when somebody asks, and remembers the last two. Nobody asks: nothing runs.

A rate needs two readings. Whoever asks every few seconds (`kubectl top`, autoscalers) gets the rate since the
time before; who comes after a long silence waits half a second for a second reading. Those who ask at once
share one answer. The files are read in a thread, lest 250 Pods hold up the event loop.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable

from sampan.api.objects import Obj, name_of, namespace_of
from sampan.api.streams import NodeUsage
from sampan.kubelet.numbers import reading
from sampan.kubelet.numbers.reading import ContainerReading, PodReading, Reading
from sampan.kubelet.runtime.contract import Record, Runtime, RuntimeFault, Stats

QUICK_S = 0.5
"""Between two readings of which one was missing."""
FRESH_S = 1.0
"""For so long an answer serves everybody."""
STALE_S = 90.0
"""A reading as old as this says nothing of now."""


class Sampler:
    """`pod_of` finds a Pod of this node by uid; `host` reads the machine's own counters."""

    def __init__(
        self,
        runtime: Runtime,
        pod_of: Callable[[str], Obj | None],
        *,
        host: Callable[[], Stats] = reading.host,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._runtime, self._pod_of, self._host, self._clock = runtime, pod_of, host, clock
        self._turn = asyncio.Lock()
        self._last: Reading | None = None
        self._usage: NodeUsage | None = None

    async def read(self, *, of_pods: bool = True) -> Reading:
        """What was used up to now; not remembered. Without `of_pods` Pods have names only: half the files."""
        running = [
            record for record in self._runtime.records() if record.exit is None and record.started_at_s
        ]
        pods = {
            uid: pod for uid in {r.spec.sandbox for r in running} if (pod := self._pod_of(uid)) is not None
        }
        return await asyncio.to_thread(self._read, running, pods, of_pods)

    async def usage(self) -> NodeUsage:
        async with self._turn:
            now_s = self._clock()
            if self._usage is not None and now_s - self._usage.at_s < FRESH_S:
                return self._usage
            before = self._last
            if before is None or not FRESH_S <= now_s - before.at_s < STALE_S:
                before = await self.read(of_pods=False)
                await asyncio.sleep(QUICK_S)
            self._last = await self.read(of_pods=False)
            self._usage = reading.usage(before, self._last)
            return self._usage

    def _read(self, running: Iterable[Record], pods: dict[str, Obj], of_pods: bool) -> Reading:
        containers: dict[str, ContainerReading] = {}
        totals: dict[str, PodReading] = {}
        for record in running:
            spec = record.spec
            pod = pods.get(spec.sandbox)
            if pod is None:
                continue
            try:
                found = self._runtime.stats(spec.id)
                if spec.sandbox not in totals:
                    total = self._runtime.sandbox_stats(spec.sandbox) if of_pods else reading.NO_STATS
                    totals[spec.sandbox] = PodReading(
                        namespace_of(pod), name_of(pod), spec.sandbox, record.created_at_s, total
                    )
            except RuntimeFault:
                continue  # it has just gone
            containers[spec.id] = ContainerReading(
                spec.sandbox, spec.name, record.pid, record.started_at_s, found
            )
        node = self._host()
        return Reading(self._clock(), node, containers, totals)
