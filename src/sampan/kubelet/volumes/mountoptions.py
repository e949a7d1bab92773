"""How a container sees a volume: what it may write there, and whose later mounts it gets to see. Pure.

Sources: concepts/storage/volumes#mount-propagation and #recursive-read-only-mounts.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath

from sampan.api.objects import Obj
from sampan.kubelet.runtime.contract import Features, Mount
from sampan.kubelet.runtime.mounts import MountPoint
from sampan.kubelet.volumes.contract import Mounted, VolumeFault

_PROPAGATION = {"HostToContainer": "rslave", "Bidirectional": "rshared"}


def container_mount(mount: Obj, mounted: Mounted, source: str, features: Features) -> Mount:
    """One entry of `volumeMounts`, whose files are at `source`. Raises VolumeFault."""
    read_only = mounted.read_only or bool(mount.get("readOnly"))
    return Mount(
        source=source,
        target=PurePosixPath("/", mount["mountPath"]).as_posix(),
        read_only=read_only,
        propagation=_PROPAGATION.get(mount.get("mountPropagation") or "", "rprivate"),
        recursive_read_only=bool(mount.get("readOnly")) and _deep(mount, features),
        no_exec=mounted.no_exec,
    )


def propagates(mount: Mount) -> bool:
    return mount.propagation != "rprivate"


def check_propagation(volume: str, mount: Mount, points: Sequence[MountPoint]) -> None:
    """What is mounted later on a private mount never comes to anybody. Raises VolumeFault."""
    over = [point for point in points if _is_over(point.target, mount.source)]
    if not over:
        return
    # Of several at the same place the last one counts, and the deepest place is the one the path lies on.
    deepest = max(enumerate(over), key=lambda pair: (len(pair[1].target), pair[0]))[1]
    if not deepest.shared:
        kind = "shared" if mount.propagation == "rshared" else "shared or slave"
        text = f"path {mount.source} is mounted on {deepest.target} but it is not a {kind} mount"
        raise VolumeFault(volume, text)


def _is_over(target: str, path: str) -> bool:
    return target == "/" or path == target or path.startswith(f"{target}/")


def _deep(mount: Obj, features: Features) -> bool:
    asked = mount.get("recursiveReadOnly") or "Disabled"
    if asked == "Enabled" and not features.recursive_read_only:
        name = mount["name"]
        text = f'volume "{name}" requested recursive read-only mode, but the runtime does not support it'
        raise VolumeFault(name, text)
    return asked == "Enabled" or (asked == "IfPossible" and features.recursive_read_only)
