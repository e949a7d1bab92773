"""Who follows a log is woken when it grows: one inotify descriptor for all of them.

The kernel gives a user 128 such descriptors; one for each follower would run out before the followers do.
"""

from __future__ import annotations

import asyncio
import os
import struct
from pathlib import Path

from sampan.kubelet.runtime import libc

_IN_MODIFY, _IN_CREATE = 0x2, 0x100
_IN_CLOSE_WRITE, _IN_MOVED_FROM, _IN_DELETE, _IN_IGNORED = 0x8, 0x40, 0x200, 0x8000
_EVENT = struct.Struct("iIII")
_READ_BYTES = 1 << 16
_OVERFLOWN = -1


class Changes:
    """One follower's: set by what happens to the log's files, or by `touch`."""

    def __init__(self, watch: LogWatch, number: int, prefix: str) -> None:
        self.prefix = prefix.encode()
        self.over = False
        """The directory is gone: nothing will be heard any more."""
        self._watch, self._number = watch, number
        self._event = asyncio.Event()

    def touch(self) -> None:
        """Something else has changed that the follower should look at."""
        self._event.set()

    async def wait(self) -> None:
        await self._event.wait()
        self._event.clear()

    def close(self) -> None:
        self._watch.leave(self._number, self)


class LogWatch:
    """Opens its descriptor for the first follower and closes it after the last."""

    def __init__(self) -> None:
        self._fd = -1
        self._followers: dict[int, set[Changes]] = {}
        """By the watch of the directory; a directory has one watch, however often it is added."""

    def follow(self, log: Path) -> Changes:
        return self._watch(log.parent, log.name, _IN_MODIFY | _IN_CREATE | libc.IN_MOVED_TO)

    def files(self, path: Path) -> Changes:
        """Whole files that come and go in a directory, or the one file at `path`."""
        mask = _IN_CREATE | _IN_CLOSE_WRITE | libc.IN_MOVED_TO | _IN_MOVED_FROM | _IN_DELETE
        return self._watch(path, "", mask) if path.is_dir() else self._watch(path.parent, path.name, mask)

    def _watch(self, directory: Path, prefix: str, mask: int) -> Changes:
        if self._fd < 0:
            self._fd = libc.inotify()
            asyncio.get_running_loop().add_reader(self._fd, self._heard)
        try:
            number = libc.inotify_add(self._fd, str(directory), mask)
        except OSError:
            self._close_if_unused()
            raise
        changes = Changes(self, number, prefix)
        self._followers.setdefault(number, set()).add(changes)
        return changes

    def leave(self, number: int, changes: Changes) -> None:
        followers = self._followers.get(number)
        if followers is None:
            return
        followers.discard(changes)
        if not followers:
            del self._followers[number]
            libc.inotify_remove(self._fd, number)
            self._close_if_unused()

    def _close_if_unused(self) -> None:
        if not self._followers and self._fd >= 0:
            asyncio.get_running_loop().remove_reader(self._fd)
            os.close(self._fd)
            self._fd = -1

    def _heard(self) -> None:
        data = os.read(self._fd, _READ_BYTES)
        at = 0
        while at < len(data):
            number, mask, _, length = _EVENT.unpack_from(data, at)
            name = data[at + _EVENT.size : at + _EVENT.size + length].rstrip(b"\0")
            at += _EVENT.size + length
            if number == _OVERFLOWN:
                heard = [changes for followers in self._followers.values() for changes in followers]
            else:
                heard = [
                    changes
                    for changes in self._followers.get(number, ())
                    if not name or name.startswith(changes.prefix)
                ]
            for changes in heard:
                changes.over = changes.over or bool(mask & _IN_IGNORED)
                changes.touch()
