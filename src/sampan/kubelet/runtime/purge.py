"""The end of all containers below a directory, also after a crash: what `sampan down` calls."""

from __future__ import annotations

import asyncio
from pathlib import Path

from sampan.kubelet.runtime import mounts, rootfs, staging
from sampan.kubelet.runtime.cgroup import Cgroups
from sampan.kubelet.runtime.crun import CrunRuntime

_OWN_RUN = ("sandboxes", "crun", "runc", "exec", "exits", "seccomp", "empty")


async def purge(root: Path, cgroup: str = "") -> None:
    """Ends all containers below `root` and takes away all they left.

    Everything that is mounted below `root`, whoever mounted it, is unmounted; other parts' files stay, and
    so does a disk that is mounted at `root` itself.
    `cgroup` is the directory of the cluster's cgroups: some may be left that nothing on disk tells of.
    """
    runtime = CrunRuntime(root)
    await runtime.open()
    try:
        await runtime.remove_all()
    finally:
        await runtime.close()
        if cgroup.strip("/"):
            await asyncio.to_thread(Cgroups(runtime.host.layout).remove, "/" + cgroup.strip("/"))
        await asyncio.to_thread(mounts.unshare, runtime.root)
        staging.remove(runtime.root)
    for directory in (runtime.root / "containers", *(runtime.root / "run" / name for name in _OWN_RUN)):
        await asyncio.to_thread(rootfs.discard, directory)
