"""NFS volumes: mounted by the host's own mount.nfs, and refused in so many words where it has none.

Source: concepts/storage/volumes#nfs.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from sampan.kubelet.volumes.contract import Mounted, Settled, Volume, VolumeFault

HELPER, PACKAGE = "mount.nfs", "nfs-common"
PATHS = f"{os.defpath}:/usr/sbin:/sbin"
DEADLINE_S = 60.0


class Nfs(Settled):
    plugin = "kubernetes.io~nfs"

    async def setup(self, volume: Volume) -> Mounted:
        source = volume.spec["nfs"]
        read_only = bool(source.get("readOnly"))
        export = f"{source['server']}:{source['path']}"
        await mount(volume.name, export, volume.directory, ["ro"] if read_only else [])
        return Mounted(str(volume.directory), read_only=read_only)


async def mount(volume: str, export: str, target: Path, options: Sequence[str]) -> None:
    """`SERVER:/PATH` at `target`, which is made. Idempotent; raises VolumeFault, OSError."""
    if os.path.ismount(target):
        return
    helper = shutil.which(HELPER, path=f"{os.environ.get('PATH', '')}:{PATHS}")
    if helper is None:
        raise VolumeFault(volume, f"NFS needs {HELPER}; install with: apt-get install {PACKAGE}")
    target.mkdir(parents=True, exist_ok=True)
    arguments = [export, str(target), *(("-o", ",".join(options)) if options else ())]
    child = await asyncio.create_subprocess_exec(
        helper, *arguments, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(DEADLINE_S):
            _, said = await child.communicate()
    except BaseException as error:
        if child.returncode is None:
            child.kill()
            await child.wait()
        if isinstance(error, TimeoutError):
            raise VolumeFault(volume, f"{export} did not answer in {DEADLINE_S:g} s") from error
        raise
    if child.returncode:
        raise VolumeFault(volume, f"mount failed: {said.decode(errors='replace').strip()}")
