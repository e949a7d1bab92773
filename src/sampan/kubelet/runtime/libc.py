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
RESOLVE_IN_ROOT = 0x10

_PR_SET_CHILD_SUBREAPER = 36
_SYS_OPENAT2 = 437
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


def open_in_root(root: str, path: str, flags: int = os.O_RDONLY) -> int:
    """openat2(RESOLVE_IN_ROOT): links inside `root`, absolute ones as well, stay inside it."""
    root_fd = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        how = _OPEN_HOW.pack(flags | os.O_CLOEXEC, 0, RESOLVE_IN_ROOT)
        return _check(
            _libc.syscall(
                ctypes.c_long(_SYS_OPENAT2),
                ctypes.c_int(root_fd),
                ctypes.c_char_p(_bytes(path.lstrip("/") or ".")),
                ctypes.c_char_p(how),
                ctypes.c_size_t(len(how)),
            ),
            path,
        )
    finally:
        os.close(root_fd)
