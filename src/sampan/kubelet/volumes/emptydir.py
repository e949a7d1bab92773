"""emptyDir volumes: a directory of the node's disk, or of memory, that lives as long as its Pod.

Source: concepts/storage/volumes#emptydir.
"""

from __future__ import annotations

from sampan.api import podspec
from sampan.kubelet.volumes.contract import Mounted, Mounter, Settled, Volume
from sampan.kubelet.volumes.ownership import settle


class EmptyDir(Settled):
    plugin = "kubernetes.io~empty-dir"

    def __init__(self, mounter: Mounter) -> None:
        self._mounter = mounter

    async def setup(self, volume: Volume) -> Mounted:
        path, source = volume.directory, volume.spec["emptyDir"]
        fresh = not path.exists()
        path.mkdir(parents=True, exist_ok=True)
        if source.get("medium") == "Memory":
            self._mounter.tmpfs(str(path), podspec.amount("memory", source.get("sizeLimit") or 0))
        if fresh:
            settle(path, volume.fs_group)
        return Mounted(str(path))
