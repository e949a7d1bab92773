"""Looks after the node's memory, disks and process ids, and ends Pods before the kernel has to.

One task looks every period, and at once when the kernel says that memory is waited for. One Pod goes at a
time: another is chosen only when the last has ended, or did not in good time. Pods that break limits of their
own go whatever is left. Directories are measured in a thread; all else is a few small files.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Collection, Mapping
from typing import Protocol

from sampan.api.objects import Obj, key_of, uid_of
from sampan.kubelet import steady
from sampan.kubelet.eviction import localstorage, ranking
from sampan.kubelet.eviction.localstorage import LocalUsage
from sampan.kubelet.eviction.pressure import CONDITIONS, Pressure
from sampan.kubelet.eviction.ranking import PodUsage
from sampan.kubelet.eviction.signals import Observation
from sampan.kubelet.eviction.stall import MemoryStall
from sampan.kubelet.eviction.thresholds import EvictionConfig, Threshold, configured
from sampan.kubelet.lifecycle import PodState
from sampan.kubelet.podview import PodView
from sampan.kubelet.runtime.contract import Runtime, RuntimeFault

REASON = "Evicted"
PATIENCE_S = 30.0
"""How long the last Pod may take to end before the next one is chosen."""
MEASURED_PART = 100.0
"""One part in so many of the time goes into walking a Pod's directories, however large they are."""

log = logging.getLogger(__name__)


class Tenant(Protocol):
    """A Pod of the node: its worker."""

    view: PodView

    def evict(self, reason: str, message: str, *, grace_s: float | None = None) -> None: ...


class Node(Protocol):
    """What the evictor asks of its node."""

    @property
    def tenants(self) -> Collection[Tenant]: ...

    def observe(self) -> Mapping[str, Observation]: ...

    async def measure(self, pod: Obj) -> LocalUsage:
        """Walks the Pod's directories, in a thread."""

    async def reclaim(self) -> None:
        """Takes away what nobody needs: ended containers, unused images."""

    def told(self, conditions: frozenset[str]) -> None:
        """The conditions of pressure have changed."""


class Evictor:
    def __init__(self, config: EvictionConfig, runtime: Runtime, node: Node) -> None:
        """Raises ThresholdError."""
        self._config, self._runtime, self._node = config, runtime, node
        self._pressure = Pressure(configured(config), config.transition_s)
        self._conditions: frozenset[str] = frozenset()
        self._leaving: tuple[Tenant, float] | None = None
        """Who was evicted last, and when."""
        self._measure_due_s: dict[str, float] = {}
        """When a Pod's directories may be walked again, by uid."""
        self._wake = asyncio.Event()
        self._stall = MemoryStall(self._wake.set)

    async def run(self) -> None:
        self._stall.open()
        tick_s = steady.now_s()
        try:
            while True:
                await self.look()
                if steady.now_s() >= tick_s:
                    await self.keep_limits()
                    tick_s = steady.now_s() + self._config.period_s
                self._wake.clear()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._wake.wait(), tick_s - steady.now_s())
        finally:
            self._stall.close()

    async def look(self) -> None:
        """At what is left on the node."""
        now_s = steady.now_s()
        observed = self._node.observe()
        self._pressure.look(observed, now_s)
        self._tell(now_s)
        if self._is_leaving(now_s) or not (due := self._pressure.due(now_s)):
            return
        threshold = due[0]
        if CONDITIONS[threshold.signal] == "DiskPressure":
            await self._node.reclaim()
            observed = self._node.observe()
            self._pressure.look(observed, now_s)
            if threshold not in self._pressure.met:
                return
        tenants = {tenant.view.uid: tenant for tenant in self._active()}
        usages = [await self._usage(tenant, threshold) for tenant in tenants.values()]
        ranked = ranking.ranked(usages, threshold.signal)
        if not ranked:
            log.warning("the node is short of %s, and no Pod can be evicted for it", threshold.signal)
            return
        first = ranked[0]
        text = ranking.message(threshold, observed[threshold.signal], first)
        grace_s = self._config.max_pod_grace_s if threshold.grace_s else 0.0
        self._evict(tenants[uid_of(first.pod)], text, grace_s)

    async def keep_limits(self) -> None:
        """Of local storage, for the Pods that have any."""
        now_s = steady.now_s()
        limited = [tenant for tenant in self._active() if localstorage.is_limited(tenant.view.pod)]
        due = {tenant.view.uid: self._measure_due_s.get(tenant.view.uid, 0.0) for tenant in limited}
        for tenant in limited:
            pod, uid = tenant.view.pod, tenant.view.uid
            if due[uid] > now_s:
                continue
            began_s = steady.now_s()
            used = await self._node.measure(pod)
            due[uid] = began_s + (steady.now_s() - began_s) * MEASURED_PART
            if text := localstorage.breach(pod, used):
                self._evict(tenant, text, 0.0)
        self._measure_due_s = due

    def _active(self) -> list[Tenant]:
        return [
            tenant
            for tenant in self._node.tenants
            if tenant.view.state is PodState.UP and not tenant.view.doomed
        ]

    def _is_leaving(self, now_s: float) -> bool:
        if self._leaving is None:
            return False
        tenant, since_s = self._leaving
        over = tenant.view.state in (PodState.RELEASED, PodState.RELEASING)
        if over or now_s - since_s >= PATIENCE_S:
            self._leaving = None
        return self._leaving is not None

    def _evict(self, tenant: Tenant, text: str, grace_s: float) -> None:
        log.warning("evicting Pod %s: %s", key_of(tenant.view.pod), text)
        tenant.evict(REASON, text, grace_s=grace_s)
        self._leaving = (tenant, steady.now_s())

    def _tell(self, now_s: float) -> None:
        conditions = self._pressure.conditions(now_s)
        if conditions != self._conditions:
            self._conditions = conditions
            self._node.told(conditions)

    async def _usage(self, tenant: Tenant, threshold: Threshold) -> PodUsage:
        view = tenant.view
        if CONDITIONS[threshold.signal] == "DiskPressure":
            local = await self._node.measure(view.pod)
            total = local.total
            return PodUsage(
                view.pod,
                {"ephemeral-storage": total.bytes, "inodes": total.inodes},
                {
                    name: {"ephemeral-storage": used.bytes, "inodes": used.inodes}
                    for name, used in local.containers.items()
                },
            )
        try:
            stats = self._runtime.sandbox_stats(view.uid)
        except RuntimeFault:
            return PodUsage(view.pod, {})
        used = {"memory": stats.working_set_bytes, "pids": stats.pids}
        return PodUsage(view.pod, used, self._of_containers(view))

    def _of_containers(self, view: PodView) -> Mapping[str, Mapping[str, int]]:
        found = {}
        for container in view.containers:
            record = container.record
            if record is None or record.exit is not None:
                continue
            try:
                stats = self._runtime.stats(record.spec.id)
            except RuntimeFault:
                continue  # it has just ended
            found[container.name] = {"memory": stats.working_set_bytes, "pids": stats.pids}
        return found
