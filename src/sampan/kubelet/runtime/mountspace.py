"""The mount namespace that conmon and the OCI runtime are born into where one mount must be hidden from them.

With cgroup v1, crun refuses to create containers if it sees that cgroup2 beside it owns a controller as well.
One namespace serves all conmons of the node: if each has its own, the kernel repeats every mount and unmount
of a Pod in every one of them (at 250 containers 50 new Pods take 1.6 s, in place of 0.6 s).

It is our own namespace but for what is hidden. Shared mounts, such as the data directory, follow in both
directions; what somebody mounts later below a private one does not. So before a container is made that mounts
from outside the data directory the two are compared, and if they differ a new namespace is begun.

A namespace lives as long as a conmon in it: nothing is pinned, nothing is left, and a new process finds it by
any conmon that still runs. A thread of ours lives in it as well, because children are born into the
namespaces of the thread that starts them.
"""

from __future__ import annotations

import asyncio
import os
import queue
import threading
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Protocol, TypeVar

from sampan.kubelet.runtime import libc, mounts
from sampan.kubelet.runtime.oneshot import Errand

T = TypeVar("T")

CGROUPS = "/sys/fs/cgroup"
_OWN = Path("/proc/self/ns/mnt")

Work = Callable[[], None]


class Birthplace(Protocol):
    """Where a function is called whose children are to see other mounts than we do. Raises OSError."""

    async def call(self, function: Callable[[], T], sources: Iterable[str] = ()) -> T: ...


class MountSpace:
    """`hidden`: the mount that is not to be seen. `data`: the directory, shared, below which we mount."""

    def __init__(self, hidden: str, data: Path) -> None:
        self._hidden, self._data = hidden, data
        self._resident: _Resident | None = None
        self._moving = asyncio.Lock()

    async def call(self, function: Callable[[], T], sources: Iterable[str] = ()) -> T:
        """Calls it inside. `sources`: what is about to be mounted from there. Raises OSError."""
        async with self._moving:
            if self._resident is not None and self._leaves(sources) and not self._is_current(self._resident):
                self.close()
            if self._resident is None:
                self._resident = await _Resident.settle(self._begin)
            resident = self._resident
        return await resident.call(function)

    async def join(self, pid: int) -> None:
        """Lives on in the namespace of a process, if it is one of this kind. No error if that has ended."""
        theirs = Path(f"/proc/{pid}/ns/mnt")
        try:
            if theirs.readlink() == _OWN.readlink() or self._hidden in _targets(f"/proc/{pid}/mountinfo"):
                return
            descriptor = os.open(theirs, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return
        try:
            resident = await _Resident.settle(lambda: _enter(descriptor))
        finally:
            os.close(descriptor)
        self.close()
        self._resident = resident

    def close(self) -> None:
        if self._resident is not None:
            self._resident.leave()
            self._resident = None

    def _begin(self) -> None:
        libc.unshare(libc.CLONE_NEWNS)
        # From here the unmount must not go back to where everybody sees it.
        libc.mount("", CGROUPS, flags=libc.MS_SLAVE | libc.MS_REC)
        libc.umount(self._hidden)

    def _leaves(self, sources: Iterable[str]) -> bool:
        return any(not Path(source).is_relative_to(self._data) for source in sources)

    def _is_current(self, resident: _Resident) -> bool:
        ours, theirs = (
            Counter(point for point in points if not Path(point).is_relative_to(self._data))
            for points in (_targets("/proc/self/mountinfo"), _targets(resident.mountinfo))
        )
        return ours - Counter((self._hidden,)) == theirs


class _Resident:
    """The thread that lives there: does what it is told, one thing after another."""

    def __init__(self) -> None:
        self._errands: queue.SimpleQueue[Work | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="mountspace", daemon=True)

    @classmethod
    async def settle(cls, enter: Work) -> _Resident:
        """Raises OSError."""
        resident = cls()
        resident._thread.start()
        try:
            await resident.call(enter)
        except BaseException:
            resident.leave()
            raise
        return resident

    @property
    def mountinfo(self) -> str:
        return f"/proc/self/task/{self._thread.native_id}/mountinfo"

    async def call(self, function: Callable[[], T]) -> T:
        errand = Errand(function)
        self._errands.put(errand.run)
        return await errand.result()

    def leave(self) -> None:
        self._errands.put(None)

    def _work(self) -> None:
        while (errand := self._errands.get()) is not None:
            errand()


def _enter(descriptor: int) -> None:
    libc.unshare(libc.CLONE_FS)  # who shares root and working directory with others cannot move
    libc.setns(descriptor, libc.CLONE_NEWNS)


def _targets(mountinfo: str) -> list[str]:
    return [point.target for point in mounts.parse_mountinfo(Path(mountinfo).read_text())]
