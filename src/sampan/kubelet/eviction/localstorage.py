"""Local disk that a Pod uses beyond its own limits, whatever is left on the node. Decisions are pure.

What counts: logs, what containers write outside of volumes, and emptyDir volumes on disk
(concepts/storage/ephemeral-storage, "Ephemeral storage consumption management"). Used space is looked at, not
watched: a count kept by the kernel needs project quotas, which most disks lack.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from sampan.api import podspec
from sampan.api.objects import Obj, uid_of
from sampan.kubelet import qos
from sampan.kubelet.volumes.emptydir import excess, in_memory
from sampan.kubelet.volumes.usage import Usage, measure

STORAGE = "ephemeral-storage"


@dataclass(frozen=True, slots=True)
class LocalUsage:
    """`containers`: logs and writable layers by name; `volumes`: those on the node's disk."""

    containers: Mapping[str, Usage] = field(default_factory=dict)
    volumes: Mapping[str, Usage] = field(default_factory=dict)

    @property
    def total(self) -> Usage:
        return sum((*self.containers.values(), *self.volumes.values()), Usage())


def is_limited(pod: Obj) -> bool:
    """Whether anything has to be looked at for this Pod at all."""
    spec = pod["spec"]
    containers = [*(spec.get("initContainers") or ()), *spec["containers"]]
    if any(STORAGE in qos.listed(container, "limits") for container in containers):
        return True
    volumes = spec.get("volumes") or ()
    return any(
        (volume.get("emptyDir") or {}).get("sizeLimit") and not in_memory(volume) for volume in volumes
    )


def container_usage(pods: Path, bundles: Path, pod: Obj, ids: Mapping[str, list[str]]) -> dict[str, Usage]:
    """Blocking. `ids`: the containers of each name that are still there, also those that have ended."""
    found = {}
    for name, known in ids.items():
        used = measure(str(pods / uid_of(pod) / name))
        for container_id in known:
            used += measure(str(bundles / container_id / "upper"))
        found[name] = used
    return found


def breach(pod: Obj, usage: LocalUsage) -> str:
    """Why the Pod has to go; "" if it keeps its limits."""
    used = {name: volume.bytes for name, volume in usage.volumes.items()}
    if said := excess(pod, used):
        return said
    limit = podspec.limits(pod).get(STORAGE, 0)
    spec = pod["spec"]
    if (
        limit
        and usage.total.bytes > limit
        and all(STORAGE in qos.listed(container, "limits") for container in spec["containers"])
    ):
        return (
            f"Pod ephemeral local storage usage exceeds the total limit of containers {_shown(spec, limit)}. "
        )
    for container in (*(spec.get("initContainers") or ()), *spec["containers"]):
        own = qos.listed(container, "limits").get(STORAGE)
        there = usage.containers.get(container["name"], Usage()).bytes
        if own is not None and there > own:
            text = container["resources"]["limits"][STORAGE]
            return f'Container {container["name"]} exceeded its local ephemeral storage limit "{text}". '
    return ""


def _shown(spec: Obj, limit: int) -> str:
    texts = [container["resources"]["limits"][STORAGE] for container in spec["containers"]]
    return str(texts[0]) if len(texts) == 1 else str(limit)
