"""emptyDir volumes: a directory of the node's disk, or of memory, that lives as long as its Pod.

Files of a volume in memory are charged to the container that wrote them; where there is no `sizeLimit`, the
Pod's memory limit or what the node gives to Pods fits in. On disk the limit is kept by `excess`, which
whoever evicts Pods asks from time to time.

Source: concepts/storage/volumes#emptydir.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from sampan.api import podspec
from sampan.api.objects import Obj
from sampan.kubelet import qos
from sampan.kubelet.volumes import ownership
from sampan.kubelet.volumes.contract import Mounted, Mounter, Settled, Volume, VolumeFault

HUGE = "HugePages"
HUGE_POOLS = Path("/sys/kernel/mm/hugepages")


class EmptyDir(Settled):
    plugin = "kubernetes.io~empty-dir"

    def __init__(
        self,
        mounter: Mounter,
        allocatable: Callable[[], Mapping[str, str]],
        huge_pools: Path = HUGE_POOLS,
    ) -> None:
        self._mounter, self._allocatable, self._pools = mounter, allocatable, huge_pools

    async def setup(self, volume: Volume) -> Mounted:
        path, gid = volume.directory, volume.fs_group
        medium: str = volume.spec["emptyDir"].get("medium") or ""
        ownership.make(path, gid)
        if medium == "Memory":
            size_bytes = memory_bytes(volume, self._allocatable())
            self._mounter.tmpfs(str(path), size_bytes, mode=ownership.mode(gid), gid=gid)
        elif medium.startswith(HUGE):
            self._huge(volume, medium)
        elif medium:
            raise VolumeFault(volume.name, f'unknown storage medium "{medium}"')
        return Mounted(str(path))

    def _huge(self, volume: Volume, medium: str) -> None:
        page_bytes = self._page_bytes(volume, medium)
        pool = self._pools / f"hugepages-{page_bytes >> 10}kB" / "nr_hugepages"
        if not pool.exists() or int(pool.read_text()) == 0:
            size = f"{page_bytes >> 20}Mi"
            raise VolumeFault(volume.name, f"medium {medium}: the node has no huge pages of size {size}")
        path, gid = str(volume.directory), volume.fs_group
        self._mounter.huge_pages(path, page_bytes, mode=ownership.mode(gid), gid=gid)

    def _page_bytes(self, volume: Volume, medium: str) -> int:
        """Of `HugePages-2Mi`; of `HugePages`, the one size that the Pod asks for."""
        if medium != HUGE:
            return podspec.amount("memory", medium.removeprefix(f"{HUGE}-"))
        sizes = {
            name.removeprefix("hugepages-")
            for name in podspec.requests(volume.pod)
            if name.startswith("hugepages-")
        }
        if len(sizes) != 1:
            text = f"medium {HUGE} needs a Pod that asks for huge pages of one size, not of {len(sizes)}"
            raise VolumeFault(volume.name, text)
        return podspec.amount("memory", sizes.pop())


def memory_bytes(volume: Volume, allocatable: Mapping[str, str]) -> int:
    """The size of a volume in memory; 0 where nothing bounds it."""
    if limit := volume.spec["emptyDir"].get("sizeLimit"):
        asked = podspec.amount("memory", limit)
        if asked:
            return asked
    of_node = podspec.amount("memory", allocatable["memory"]) if "memory" in allocatable else 0
    of_pod = qos.pod_resources(volume.pod).memory_bytes
    return min(of_pod, of_node) if of_pod and of_node else of_pod or of_node


def in_memory(spec: Obj) -> bool:
    """Whether it is a volume of this kind that is not on the node's disk."""
    return bool((spec.get("emptyDir") or {}).get("medium"))


def excess(pod: Obj, used_bytes: Mapping[str, int]) -> str:
    """Why the Pod is to be evicted, "" if its volumes on disk keep their limits. `used_bytes` is by name."""
    for spec in pod["spec"].get("volumes") or ():
        limit = (spec.get("emptyDir") or {}).get("sizeLimit")
        if not limit or in_memory(spec) or not podspec.amount("memory", limit):
            continue
        if used_bytes.get(spec["name"], 0) > podspec.amount("memory", limit):
            return f'Usage of EmptyDir volume "{spec["name"]}" exceeds the limit "{limit}". '
    return ""
