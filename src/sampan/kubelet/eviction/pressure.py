"""Which thresholds are met, since when, and what the node says of itself for it. Pure but for its memory.

Source: concepts/scheduling-eviction/node-pressure-eviction, "Eviction thresholds", "Node conditions".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sampan.kubelet.eviction.signals import Observation
from sampan.kubelet.eviction.thresholds import Threshold

CONDITIONS = {
    "memory.available": "MemoryPressure",
    "nodefs.available": "DiskPressure",
    "nodefs.inodesFree": "DiskPressure",
    "imagefs.available": "DiskPressure",
    "imagefs.inodesFree": "DiskPressure",
    "pid.available": "PIDPressure",
}
RESOURCES = {
    "memory.available": "memory",
    "nodefs.available": "ephemeral-storage",
    "nodefs.inodesFree": "inodes",
    "imagefs.available": "ephemeral-storage",
    "imagefs.inodesFree": "inodes",
    "pid.available": "pids",
}


class Pressure:
    """Remembers since when each threshold is met, and when each condition was last seen."""

    def __init__(self, thresholds: Sequence[Threshold], transition_s: float) -> None:
        self._thresholds, self._transition_s = thresholds, transition_s
        self._met: dict[Threshold, float] = {}
        """Threshold -> since when."""
        self._seen: dict[str, float] = {}
        """Condition -> when last."""

    def look(self, observed: Mapping[str, Observation], now_s: float) -> None:
        """One that was met stays so until the minimum reclaim is there as well."""
        met = {}
        for threshold in self._thresholds:
            found = observed.get(threshold.signal)
            if found is None or not found.capacity:
                continue
            before = self._met.get(threshold)
            least = threshold.of(found.capacity) if before is None else threshold.reclaimed_at(found.capacity)
            if found.available < least:
                met[threshold] = now_s if before is None else before
                self._seen[CONDITIONS[threshold.signal]] = now_s
        self._met = met

    @property
    def met(self) -> list[Threshold]:
        return list(self._met)

    def due(self, now_s: float) -> list[Threshold]:
        """Those whose grace period is over: memory first, which kills soonest."""
        over = [each for each, since in self._met.items() if now_s - since >= each.grace_s]
        return sorted(over, key=lambda each: (each.signal != "memory.available", each.grace_s > 0))

    def conditions(self, now_s: float) -> frozenset[str]:
        """Conditions that hold; one stays for a while after its cause has gone, so as not to flutter."""
        return frozenset(
            kind for kind, seen in self._seen.items() if now_s - seen < self._transition_s or seen == now_s
        )
