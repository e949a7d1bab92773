"""hostPath volumes: a path of the node as it is, checked or made as its `type` asks.

Source: concepts/storage/volumes#hostpath-volume-types.
"""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import Callable
from pathlib import Path

from sampan.kubelet.volumes.contract import Mounted, Settled, Volume, VolumeFault

_CHECKS: dict[str, tuple[Callable[[int], bool], str]] = {
    "Directory": (stat.S_ISDIR, "is not a directory"),
    "DirectoryOrCreate": (stat.S_ISDIR, "is not a directory"),
    "File": (stat.S_ISREG, "is not a file"),
    "FileOrCreate": (stat.S_ISREG, "is not a file"),
    "Socket": (stat.S_ISSOCK, "is not a socket file"),
    "CharDevice": (stat.S_ISCHR, "is not a character device"),
    "BlockDevice": (stat.S_ISBLK, "is not a block device"),
}


class HostPath(Settled):
    plugin = "kubernetes.io~host-path"

    async def setup(self, volume: Volume) -> Mounted:
        source = volume.spec["hostPath"]
        # The path may lie on a server that does not answer: nobody else waits for it.
        return await asyncio.to_thread(host_path, volume.name, source["path"], source.get("type") or "")


def host_path(volume: str, path: str, kind: str) -> Mounted:
    """Blocking; raises VolumeFault when the path is not of its kind."""
    if not path.startswith("/"):
        raise VolumeFault(volume, f"hostPath {path} is not an absolute path")
    if kind and kind not in _CHECKS:
        raise VolumeFault(volume, f"{kind} is an invalid volume type")
    place = Path(path)
    try:
        # Without a type nothing is checked, and what is missing becomes a directory.
        if kind in ("", "DirectoryOrCreate") and not place.exists():
            place.mkdir(parents=True, exist_ok=True)
        elif kind == "FileOrCreate" and not place.exists():
            os.close(os.open(place, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o644))
        mode = _mode(place)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise VolumeFault(volume, f"hostPath type check failed: {path}: {reason}") from error
    if kind:
        holds, complaint = _CHECKS[kind]
        if not holds(mode):
            raise VolumeFault(volume, f"hostPath type check failed: {path} {complaint}")
    return Mounted(path)


def _mode(place: Path) -> int:
    """0, which is of no kind, where there is nothing."""
    try:
        return place.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return 0
