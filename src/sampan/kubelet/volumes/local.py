"""Local volumes: a directory of this node that somebody has prepared; never made here, never taken away.

Source: concepts/storage/volumes#local.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from sampan.kubelet.volumes import ownership
from sampan.kubelet.volumes.contract import Mounted, Settled, Volume, VolumeFault


class Local(Settled):
    plugin = "kubernetes.io~local-volume"

    async def setup(self, volume: Volume) -> Mounted:
        path = Path(volume.spec["local"]["path"])
        if not path.exists():
            raise VolumeFault(volume.name, f'path "{path}" does not exist')
        if not path.is_dir():
            raise VolumeFault(volume.name, f"{path} is not a directory")
        await asyncio.to_thread(ownership.claim, volume, path)
        return Mounted(str(path))
