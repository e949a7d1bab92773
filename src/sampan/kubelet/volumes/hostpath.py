"""hostPath volumes: a path of the node as it is, checked or made as its `type` asks.

Source: concepts/storage/volumes#hostpath-volume-types.
"""

from __future__ import annotations

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
        return host_path(volume.name, source["path"], source.get("type") or "")


def host_path(volume: str, path: str, kind: str) -> Mounted:
    """Raises VolumeFault when the path is not of its kind."""
    place = Path(path)
    try:
        if kind == "FileOrCreate":
            place.touch(mode=0o644)
        elif kind == "DirectoryOrCreate" or (not kind and not place.exists()):
            # Without a type nothing is checked, and what is missing becomes a directory.
            place.mkdir(parents=True, exist_ok=True)
        mode = place.stat().st_mode
    except OSError as error:
        raise VolumeFault(
            volume, f"hostPath type check failed: {path}: {(error.strerror or str(error)).lower()}"
        ) from error
    holds, complaint = _CHECKS.get(kind, (None, ""))
    if holds is not None and not holds(mode):
        raise VolumeFault(volume, f"hostPath type check failed: {path} {complaint}")
    return Mounted(path)
