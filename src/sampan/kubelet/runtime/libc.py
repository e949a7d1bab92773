"""The system calls that Python 3.11 has no name for, with errors as OSError.

Blocking calls: the caller picks the thread. Flags are the kernel's (linux/mount.h, sched.h, inotify.h).
"""

from __future__ import annotations

import ctypes
import os
import struct
from typing import Any

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC = 1, 2, 4, 8
MS_BIND, MS_REC, MS_PRIVATE, MS_SLAVE, MS_SHARED = 4096, 16384, 1 << 18, 1 << 19, 1 << 20
MNT_DETACH, UMOUNT_NOFOLLOW = 2, 8
CLONE_FS, CLONE_NEWNS = 0x200, 0x20000
CLONE_NEWUTS, CLONE_NEWIPC, CLONE_NEWNET = 0x04000000, 0x08000000, 0x40000000
IN_CLOEXEC, IN_NONBLOCK = os.O_CLOEXEC, os.O_NONBLOCK
IN_MOVED_TO, IN_Q_OVERFLOW = 0x80, 0x4000
RESOLVE_NO_XDEV, RESOLVE_NO_MAGICLINKS, RESOLVE_NO_SYMLINKS = 0x01, 0x02, 0x04
RESOLVE_BENEATH, RESOLVE_IN_ROOT = 0x08, 0x10

_PR_SET_CHILD_SUBREAPER = 36
_SYS_OPEN_TREE, _SYS_MOVE_MOUNT, _SYS_OPENAT2, _SYS_MOUNT_SETATTR = 428, 429, 437, 442
_AT_FDCWD, _AT_EMPTY_PATH, _AT_RECURSIVE = -100, 0x1000, 0x8000
_OPEN_TREE_CLONE, _MOVE_MOUNT_F_EMPTY_PATH, _MOUNT_ATTR_IDMAP = 1, 4, 0x00100000
_MOUNT_ATTR = struct.Struct("=QQQQ")
_OPEN_HOW = struct.Struct("=QQQ")

_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int, *where: str) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), *where)
    return result


def _bytes(text: str) -> bytes:
    return os.fsencode(text)


def mount(source: str, target: str, kind: str = "", flags: int = 0, options: str = "") -> None:
    data: Any = _bytes(options) if options else None
    kind_or_none: Any = _bytes(kind) if kind else None
    _check(
        _libc.mount(_bytes(source), _bytes(target), kind_or_none, ctypes.c_ulong(flags), data),
        target,
    )


def umount(target: str, flags: int = UMOUNT_NOFOLLOW) -> None:
    _check(_libc.umount2(_bytes(target), flags), target)


def unshare(flags: int) -> None:
    """Of the calling thread alone."""
    _check(_libc.unshare(flags))


def open_tree(path: str, *, recursive: bool = False) -> int:
    """A copy of the mount that `path` is on, from there down: attached nowhere, gone with the descriptor."""
    flags = _OPEN_TREE_CLONE | os.O_CLOEXEC | (_AT_RECURSIVE if recursive else 0)
    return _syscall(_SYS_OPEN_TREE, path, _AT_FDCWD, path, flags)


def map_ids(mount_fd: int, user_fd: int, *, recursive: bool = False) -> None:
    """Of a mount that is attached nowhere yet: its owners are seen through a user namespace."""
    attributes = _MOUNT_ATTR.pack(_MOUNT_ATTR_IDMAP, 0, 0, user_fd)
    flags = _AT_EMPTY_PATH | (_AT_RECURSIVE if recursive else 0)
    _syscall(_SYS_MOUNT_SETATTR, "", mount_fd, "", flags, attributes, len(attributes))


def move_mount(mount_fd: int, target: str) -> None:
    _syscall(_SYS_MOVE_MOUNT, target, mount_fd, "", _AT_FDCWD, target, _MOVE_MOUNT_F_EMPTY_PATH)


def _syscall(number: int, where: str, *arguments: int | str | bytes) -> int:
    """`where` names the file in errors."""
    raw = [
        ctypes.c_long(argument)
        if isinstance(argument, int)
        else ctypes.c_char_p(_bytes(argument) if isinstance(argument, str) else argument)
        for argument in arguments
    ]
    return _check(_libc.syscall(ctypes.c_long(number), *raw), where)


def setns(descriptor: int, flags: int) -> None:
    """The calling thread alone moves."""
    _check(_libc.setns(descriptor, ctypes.c_int(flags)))


def become_subreaper() -> None:
    """Orphans below this process become its children."""
    _check(_libc.prctl(_PR_SET_CHILD_SUBREAPER, ctypes.c_ulong(1), 0, 0, 0))


def inotify() -> int:
    return _check(_libc.inotify_init1(IN_CLOEXEC | IN_NONBLOCK))


def inotify_add(fd: int, path: str, mask: int) -> int:
    return _check(_libc.inotify_add_watch(fd, _bytes(path), ctypes.c_uint32(mask)), path)


def inotify_remove(fd: int, watch: int) -> None:
    """Nothing happens where the kernel has dropped the watch already, with its directory."""
    _libc.inotify_rm_watch(fd, watch)


def openat2(directory: int, path: str, flags: int, resolve: int) -> int:
    """A descriptor of `path` below an open directory, found as RESOLVE_... in `resolve` demand."""
    how = _OPEN_HOW.pack(flags | os.O_CLOEXEC, 0, resolve)
    return _check(
        _libc.syscall(
            ctypes.c_long(_SYS_OPENAT2),
            ctypes.c_int(directory),
            ctypes.c_char_p(_bytes(path)),
            ctypes.c_char_p(how),
            ctypes.c_size_t(len(how)),
        ),
        path,
    )


def open_in_root(root: str, path: str, flags: int = os.O_RDONLY) -> int:
    """openat2(RESOLVE_IN_ROOT): links inside `root`, absolute ones as well, stay inside it."""
    root_fd = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return openat2(root_fd, path.lstrip("/") or ".", flags, RESOLVE_IN_ROOT)
    finally:
        os.close(root_fd)
