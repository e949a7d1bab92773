"""Where a container of a Pod with a user namespace is born: a mount namespace for it and its conmon alone.

The OCI runtime looks for the container's root file system as the Pod's root, who may not walk through our
directories. So it is mounted at a place that anybody may walk to, and beside it every volume as the Pod shall
see it: with IDs mapped. All of that is seen in this namespace only, and goes with its last process; on the
node nothing is left but an empty directory, until `remove`.
"""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from sampan.kubelet.runtime import idmap, libc, oneshot
from sampan.kubelet.runtime.contract import Mount, RuntimeFault

T = TypeVar("T")

_PLACES = Path("/run")


def anchor(data: Path) -> Path:
    """The directory that stands for all of a node's staged mounts; `data` tells nodes apart."""
    return _PLACES / f"sampan-{hashlib.sha256(os.fsencode(data)).hexdigest()[:12]}"


def remove(data: Path) -> None:
    """Idempotent."""
    try:
        anchor(data).rmdir()
    except FileNotFoundError:
        return


@dataclass(frozen=True, slots=True)
class Staging:
    """`hidden`: a mount that the runtime must not see, or "". `user`: path of the user namespace."""

    place: Path
    hidden: str
    user: str
    rootfs: Path
    mounts: Sequence[Mount]

    @property
    def staged_rootfs(self) -> str:
        return str(self.place / "rootfs")

    @property
    def staged_mounts(self) -> list[Mount]:
        """The same mounts, from where they will be."""
        return [replace(mount, source=self._stage(index)) for index, mount in enumerate(self.mounts)]

    async def call(self, function: Callable[[], T], sources: Iterable[str] = ()) -> T:
        """As MountSpace.call, in a namespace of its own. Also raises RuntimeFault("CreateContainerError")."""

        def run() -> T:
            try:
                self._enter()
            except OSError as error:
                where = f"{error.filename}: " if error.filename else ""
                text = f"cannot show the Pod's user namespace its files: {where}{error.strerror}"
                raise RuntimeFault("CreateContainerError", text) from error
            return function()

        return await oneshot.call(run)

    def _stage(self, index: int) -> str:
        return str(self.place / str(index))

    def _enter(self) -> None:
        self.place.mkdir(mode=0o711, exist_ok=True)
        libc.unshare(libc.CLONE_NEWNS)
        libc.mount("", "/", flags=libc.MS_SLAVE | libc.MS_REC)
        if self.hidden:
            libc.umount(self.hidden)
        libc.mount("staging", str(self.place), "tmpfs", libc.MS_NOSUID | libc.MS_NODEV, "mode=711,size=64k")
        Path(self.staged_rootfs).mkdir()
        libc.mount(str(self.rootfs), self.staged_rootfs, flags=libc.MS_BIND)
        for index, mount in enumerate(self.mounts):
            self._map(mount, Path(self._stage(index)))

    def _map(self, mount: Mount, target: Path) -> None:
        source = Path(mount.source)
        if source.is_dir():
            target.mkdir()
        elif source.exists():
            target.touch()
        else:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), mount.source)
        idmap.bind(mount.source, str(target), self.user, recursive=mount.recursive)
