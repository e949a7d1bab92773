"""Deletes a directory tree that a container may have filled, and nothing else whatever lies in it.

No link is followed and no mount is entered: what is still mounted below (a node's own directory, a claim's
volume) makes the removal fail before a file of it is touched. Trees of any depth are removed with few
descriptors: what lies too deep is first moved up.
"""

from __future__ import annotations

import errno
import os
import secrets
from pathlib import Path

from sampan.kubelet.runtime import libc

DEEPEST = 100
_RESOLVE = libc.RESOLVE_BENEATH | libc.RESOLVE_NO_SYMLINKS | libc.RESOLVE_NO_XDEV
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def remove(path: Path) -> None:
    """Blocking, idempotent; raises OSError: EXDEV or EBUSY where something is mounted."""
    try:
        parent = os.open(path.parent, _DIRECTORY)
    except FileNotFoundError:
        return
    try:
        root = _enter(parent, path.name)
        try:
            while _empty(root, root, 0):
                pass
        finally:
            os.close(root)
        os.rmdir(path.name, dir_fd=parent)
    except FileNotFoundError:
        return
    finally:
        os.close(parent)


def _empty(directory: int, root: int, depth: int) -> bool:
    """Whether something was moved up to `root`, where another round must see to it."""
    moved = False
    with os.scandir(directory) as entries:
        for entry in entries:
            if not entry.is_dir(follow_symlinks=False):
                _unlink(directory, entry.name)
            elif depth < DEEPEST:
                moved |= _remove_below(directory, entry.name, root, depth)
            else:
                os.rename(entry.name, secrets.token_hex(16), src_dir_fd=directory, dst_dir_fd=root)
                moved = True
    return moved


def _remove_below(directory: int, name: str, root: int, depth: int) -> bool:
    try:
        child = _enter(directory, name)
    except FileNotFoundError:
        return False
    try:
        moved = _empty(child, root, depth + 1)
    finally:
        os.close(child)
    os.rmdir(name, dir_fd=directory)
    return moved


def _unlink(directory: int, name: str) -> None:
    try:
        os.unlink(name, dir_fd=directory)
    except FileNotFoundError:
        return


def _enter(directory: int, name: str) -> int:
    try:
        return libc.openat2(directory, name, _DIRECTORY, _RESOLVE)
    except OSError as error:
        if error.errno not in (errno.ENOSYS, errno.EPERM):
            raise
    # Without openat2: each open file tells by which mount it was found.
    found = os.open(name, _DIRECTORY, dir_fd=directory)
    if _mount_of(found) != _mount_of(directory):
        os.close(found)
        raise OSError(errno.EXDEV, "something is mounted there", name)
    return found


def _mount_of(descriptor: int) -> str:
    """Source: proc_pid_fdinfo(5)."""
    lines = Path(f"/proc/self/fdinfo/{descriptor}").read_text().splitlines()
    return next(line for line in lines if line.startswith("mnt_id:"))
