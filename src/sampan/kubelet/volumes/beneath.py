"""Paths that others may change while we look at them: opened so that no link leads out of a directory.

The kernel does it in one call (openat2, RESOLVE_BENEATH). Where it has none, or forbids it, the same walk is
done here: each component is opened below the one before, which is held open, and a link is read and walked in
its place.
"""

from __future__ import annotations

import errno
import os
import stat

from sampan.kubelet.runtime import libc

RESOLVE = libc.RESOLVE_BENEATH | libc.RESOLVE_NO_MAGICLINKS
MOST_LINKS = 40
MOST_TRIES = 100
"""The kernel gives up a walk through a link's `..` that met a rename; whoever renames all the time loses."""


def open_beneath(root: int, path: str) -> int:
    """An O_PATH descriptor; raises OSError, EXDEV for a way that leads out. The last component is no link."""
    for _ in range(MOST_TRIES):
        try:
            return libc.openat2(root, path or ".", os.O_PATH, RESOLVE)
        except OSError as error:
            if error.errno in (errno.ENOSYS, errno.EPERM):
                return walk(root, path)
            if error.errno != errno.EAGAIN:
                raise
    raise OSError(errno.EAGAIN, "the path changes while it is opened", path)


def walk(root: int, path: str) -> int:
    """The same without openat2."""
    held = [os.open(".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=root)]
    ahead = _parts(path)
    links = 0
    try:
        while ahead:
            part = ahead.pop()
            if part == "..":
                if len(held) == 1:
                    raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), path)
                os.close(held.pop())
                continue
            found = os.open(part, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=held[-1])
            if not stat.S_ISLNK(os.fstat(found).st_mode):
                held.append(found)
                continue
            try:
                target = os.readlink("", dir_fd=found)
            finally:
                os.close(found)
            links += 1
            if links > MOST_LINKS:
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
            if target.startswith("/"):
                raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), path)
            ahead += _parts(target)
        return held.pop()
    finally:
        for descriptor in held:
            os.close(descriptor)


def _parts(path: str) -> list[str]:
    """The last first."""
    return [part for part in reversed(path.split("/")) if part not in ("", ".")]
