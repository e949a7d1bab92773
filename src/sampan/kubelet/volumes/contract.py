"""What a kind of volume is, what volumes need of Linux, and what they give to containers.

One module per kind; `kinds` is the table of all. Calls for one Pod come from its worker, one after the other;
calls for different volumes of a Pod may interleave at every await.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from sampan.api.objects import Obj, namespace_of, uid_of


class VolumeFault(Exception):
    """A volume could not be made; the text is fit for an Event."""

    def __init__(self, volume: str, message: str) -> None:
        super().__init__(message)
        self.volume, self.message = volume, message

    @property
    def told(self) -> str:
        """The text of the Event."""
        return f'MountVolume.SetUp failed for volume "{self.volume}" : {self.message}'


class SubPathFault(Exception):
    """A subPath leads out of its volume or cannot be made."""


@dataclass(frozen=True, slots=True)
class Volume:
    """One entry of `spec.volumes` of one Pod, and the place on the node that is its own.

    `directory` does not exist before its kind makes it. What lies or is mounted there, and all below, goes
    away with the Pod; what is mounted there is never entered for it.
    """

    pod: Obj
    spec: Obj
    directory: Path

    @property
    def name(self) -> str:
        name: str = self.spec["name"]
        return name

    @property
    def uid(self) -> str:
        return uid_of(self.pod)

    @property
    def namespace(self) -> str:
        return namespace_of(self.pod)

    @property
    def fs_group(self) -> int | None:
        return (self.pod["spec"].get("securityContext") or {}).get("fsGroup")


@dataclass(frozen=True, slots=True)
class Mounted:
    """A volume that is ready; `path` is a directory, a file that a hostPath names, or a block device.

    `sub_paths`: whether a missing subPath may be made; `no_exec`: nothing in it may be run.
    """

    path: str
    read_only: bool = False
    no_exec: bool = False
    sub_paths: bool = True


class VolumeKind(Protocol):
    """All volumes of one field of `VolumeSource`. Errors are VolumeFault, OSError and StatusError."""

    plugin: str
    """The name of its directories: `kubernetes.io~empty-dir`."""

    async def setup(self, volume: Volume) -> Mounted:
        """Makes it. Idempotent: it is called again after a fault and after a restart of this process."""

    async def refresh(self, volume: Volume) -> None:
        """Something that the Pod refers to, or the Pod itself, has changed; the volume is in use."""

    def refresh_due_s(self, uid: str) -> float | None:
        """When a volume of this Pod asks to be refreshed of its own accord, in Unix time."""

    async def teardown(self, uid: str) -> None:
        """Gives back what lies elsewhere than in the directories of the Pod's volumes. Idempotent."""


class Settled:
    """A kind whose volumes, once made, need nothing more, and lie in their own directories."""

    async def refresh(self, volume: Volume) -> None:
        return None

    def refresh_due_s(self, uid: str) -> float | None:
        return None

    async def teardown(self, uid: str) -> None:
        return None


class Mounter(Protocol):
    """Mounts in the mount namespace that this process shares with its successors."""

    def tmpfs(
        self,
        path: str,
        size_bytes: int = 0,
        *,
        mode: int = 0o777,
        gid: int | None = None,
        secret: bool = False,
    ) -> None:
        """A tmpfs of at most so many bytes (0: half of memory). Idempotent.

        `secret`: it is never swapped out where the kernel can promise that.
        """

    def huge_pages(self, path: str, page_bytes: int, *, mode: int = 0o777, gid: int | None = None) -> None:
        """A hugetlbfs of pages of that size. Idempotent."""

    async def layers(self, path: str, lower_dirs: Sequence[str]) -> None:
        """Image layers, the topmost first, as one tree in which nothing can be written or run. Idempotent."""

    def bind(self, source_fd: int, target: str) -> None:
        """Makes the open file or directory visible at `target`, which exists and is of the same kind."""

    def unmount(self, path: str) -> None:
        """Also what is mounted below. No error if nothing is."""
