"""How containers end: conmon puts a file with the exit code into one directory, which inotify watches.

conmon writes under a temporary name and renames, so only IN_MOVED_TO counts, and what is there is whole.
"""

from __future__ import annotations

import asyncio
import os
import struct
from collections.abc import Callable
from pathlib import Path

from sampan.kubelet.runtime import libc
from sampan.kubelet.runtime.contract import Exit

_EVENT = struct.Struct("iIII")
_KILLED, _SIGNALS = 137, 128
UNKNOWN = 255


class ExitDirectory:
    """`on_file(container_id)` is called on the loop whenever an exit file has arrived."""

    def __init__(self, path: Path, on_file: Callable[[str], None]) -> None:
        self.path, self._on_file, self._fd = path, on_file, -1

    def open(self) -> None:
        self._fd = libc.inotify()
        libc.inotify_add(self._fd, str(self.path), libc.IN_MOVED_TO)
        asyncio.get_running_loop().add_reader(self._fd, self._read)

    def close(self) -> None:
        if self._fd >= 0:
            asyncio.get_running_loop().remove_reader(self._fd)
            os.close(self._fd)
            self._fd = -1

    def read(self, container_id: str, bundle: Path) -> Exit | None:
        """None while it has not ended, or if nobody was there to see it end."""
        file = self.path / container_id
        try:
            code, ended_at = int(file.read_text()), file.stat().st_mtime
        except FileNotFoundError:
            return None
        return verdict(code, ended_at, oom_file=(bundle / "persist" / "oom").exists())

    def names(self) -> list[str]:
        """Containers of which a file is there."""
        return [file.name for file in self.path.iterdir()]

    def discard(self, container_id: str) -> None:
        (self.path / container_id).unlink(missing_ok=True)

    def _read(self) -> None:
        try:
            data = os.read(self._fd, 1 << 16)
        except BlockingIOError:
            return
        offset, overflow = 0, False
        while offset < len(data):
            _, mask, _, length = _EVENT.unpack_from(data, offset)
            offset += _EVENT.size
            name = data[offset : offset + length].rstrip(b"\0").decode()
            offset += length
            if mask & libc.IN_Q_OVERFLOW:
                overflow = True
            elif name:
                self._on_file(name)
        if overflow:  # events were lost: what they were about is still in the directory
            for name in self.names():
                self._on_file(name)


def verdict(code: int, finished_at_s: float, *, oom_file: bool) -> Exit:
    """conmon notes an OOM kill of any process in the container.

    It was the end of it if the first process was killed, or failed by itself for its child; not if it
    succeeded all the same, or was told to end by another signal.
    """
    return Exit(code, finished_at_s, oom=oom_file and (code == _KILLED or 0 < code < _SIGNALS))


def unseen(status: int | None, now_s: float, *, oom_file: bool) -> Exit:
    """The end of a container whose conmon was gone before. `status`: waitid's, if it was our child."""
    if status is None:
        return Exit(UNKNOWN, now_s, unknown=True)
    return verdict(status, now_s, oom_file=oom_file)
