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
_EVENT = struct.Struct("iIII")
_READ_BYTES = 1 << 16
_OVERFLOWN = -1


class Changes:
    """One follower's: set by what happens to the log's files, or by `touch`."""

    def __init__(self, watch: LogWatch, number: int, log: Path) -> None:
        self.prefix = log.name.encode()
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
        if self._fd < 0:
            self._fd = libc.inotify()
            asyncio.get_running_loop().add_reader(self._fd, self._heard)
        mask = _IN_MODIFY | _IN_CREATE | libc.IN_MOVED_TO
        try:
            number = libc.inotify_add(self._fd, str(log.parent), mask)
        except OSError:
            self._close_if_unused()
            raise
        changes = Changes(self, number, log)
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
            number, _, _, length = _EVENT.unpack_from(data, at)
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
                changes.touch()
