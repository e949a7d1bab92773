"""Which Pod goes first, and what it is told. Pure.

Source: concepts/scheduling-eviction/node-pressure-eviction, "Pod selection for kubelet eviction".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sampan.api import podspec
from sampan.api.objects import Obj
from sampan.api.quantity import Quantity, Suffixes
from sampan.kubelet import qos
from sampan.kubelet.eviction.pressure import RESOURCES
from sampan.kubelet.eviction.signals import Observation
from sampan.kubelet.eviction.thresholds import Threshold


@dataclass(frozen=True, slots=True)
class PodUsage:
    """`used` by resource (memory, ephemeral-storage, inodes, pids); `by_container` the same for each."""

    pod: Obj
    used: Mapping[str, int]
    by_container: Mapping[str, Mapping[str, int]] = field(default_factory=dict)

    def over_request(self, resource: str) -> int:
        return self.used.get(resource, 0) - podspec.requests(self.pod).get(resource, 0)


def ranked(pods: Sequence[PodUsage], signal: str) -> list[PodUsage]:
    """The first is to go first: who uses more than asked for, matters less, and uses more."""
    resource = RESOURCES[signal]

    def order(usage: PodUsage) -> tuple[bool, int, int]:
        priority = usage.pod["spec"].get("priority") or 0
        if resource == "pids":
            return False, priority, -usage.used.get(resource, 0)
        over = usage.over_request(resource)
        return over <= 0, priority, -over

    return sorted((usage for usage in pods if not qos.is_critical(usage.pod)), key=order)


def message(threshold: Threshold, seen: Observation, usage: PodUsage) -> str:
    resource = RESOURCES[threshold.signal]
    least = _shown(resource, threshold.of(seen.capacity))
    said = (
        f"The node was low on resource: {resource}. Threshold quantity: {least}, "
        f"available: {_shown(resource, seen.available)}. "
    )
    for container in usage.pod["spec"]["containers"]:
        name = container["name"]
        used = usage.by_container.get(name, {}).get(resource, 0)
        asked = qos.listed(container, "requests").get(resource, 0)
        if used > asked:
            said += (
                f"Container {name} was using {_shown(resource, used)}, request is {_shown(resource, asked)}, "
                f"has larger consumption of {resource}. "
            )
    return said


def _shown(resource: str, count: int) -> str:
    if resource in ("inodes", "pids"):
        return str(count)
    return str(Quantity((count >> 10 << 10) * 10**9, Suffixes.BINARY))
