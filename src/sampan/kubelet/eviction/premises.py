"""This node as the evictor sees it: its disks, its Pods, and those who have to hear of a shortage."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from pathlib import Path

from sampan.api.objects import Obj, uid_of
from sampan.kubelet.eviction.evictor import Tenant
from sampan.kubelet.eviction.localstorage import LocalUsage, container_usage
from sampan.kubelet.eviction.signals import NodeSignals, Observation
from sampan.kubelet.parts import Parts

BUNDLES = "containers"
"""Below the data directory: what the runtime keeps of each container."""
_EVENTS = {
    ("MemoryPressure", True): "NodeHasInsufficientMemory",
    ("MemoryPressure", False): "NodeHasSufficientMemory",
    ("DiskPressure", True): "NodeHasDiskPressure",
    ("DiskPressure", False): "NodeHasNoDiskPressure",
    ("PIDPressure", True): "NodeHasInsufficientPID",
    ("PIDPressure", False): "NodeHasSufficientPID",
}


class Premises:
    """Keeps evictor.Node. `posted(conditions)` puts them into the Node's status."""

    def __init__(
        self,
        parts: Parts,
        tenants: Callable[[], Collection[Tenant]],
        posted: Callable[[Collection[str]], None],
        imagefs: Path,
        collect: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._parts, self._tenants, self._posted, self._collect = parts, tenants, posted, collect
        self._signals = NodeSignals(parts.config.root, imagefs)
        self._conditions: frozenset[str] = frozenset()

    @property
    def tenants(self) -> Collection[Tenant]:
        return self._tenants()

    def observe(self) -> Mapping[str, Observation]:
        return self._signals()

    async def measure(self, pod: Obj) -> LocalUsage:
        ids: dict[str, list[str]] = {}
        for record in self._parts.runtime.records():
            if record.spec.sandbox == uid_of(pod):
                ids.setdefault(record.spec.name, []).append(record.spec.id)
        return await asyncio.to_thread(self._walk, pod, ids)

    def _walk(self, pod: Obj, ids: Mapping[str, list[str]]) -> LocalUsage:
        config = self._parts.config
        containers = container_usage(config.pods, config.root / BUNDLES, pod, ids)
        return LocalUsage(containers, self._parts.volumes.usage(pod))

    async def reclaim(self) -> None:
        """Attempts that have ended and are not the last of their container, then images."""
        current = {
            container.record.spec.id
            for tenant in self.tenants
            for container in tenant.view.containers
            if container.record is not None
        }
        for record in list(self._parts.runtime.records()):
            if record.exit is not None and record.spec.id not in current:
                await self._parts.runtime.remove(record.spec.id)
        if self._collect is not None:
            await self._collect()

    def told(self, conditions: frozenset[str]) -> None:
        name = self._parts.config.node_name
        node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "uid": name}}
        for kind in sorted(conditions ^ self._conditions):
            reason = _EVENTS[kind, kind in conditions]
            self._parts.events.event(node, "Normal", reason, f"Node {name} status is now: {reason}")
        self._conditions = conditions
        self._parts.allocation.pressures = conditions
        self._posted(conditions)
