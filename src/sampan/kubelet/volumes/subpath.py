"""subPath: a place inside a volume, opened so that no link can lead out of it.

A container may have put links into the volume; so the kernel is asked to resolve the path beneath the
volume's root (openat2, RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS) and what it found is bind-mounted by its open
descriptor: between the check and the use there is no name that could come to mean something else.
"""

from __future__ import annotations

import ctypes
import os
import stat
import struct

from sampan.kubelet.volumes.contract import SubPathFault

_SYS_OPENAT2 = 437
_RESOLVE_NO_MAGICLINKS, _RESOLVE_BENEATH = 0x02, 0x08
_OPEN_HOW = struct.Struct("=QQQ")
_libc = ctypes.CDLL(None, use_errno=True)


def open_beneath(root: str, path: str) -> int:
    """An O_PATH descriptor of `path` below `root`; makes missing directories. Raises SubPathFault."""
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if path.startswith("/") or ".." in parts:
        raise SubPathFault(f'subPath "{path}" must be relative and must not contain ".."')
    root_fd = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            return _openat2(root_fd, "/".join(parts) or ".")
        except FileNotFoundError:
            _make(root_fd, parts)
            return _openat2(root_fd, "/".join(parts))
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise SubPathFault(f'failed to prepare subPath "{path}": {reason}') from error
    finally:
        os.close(root_fd)


def is_directory(descriptor: int) -> bool:
    return stat.S_ISDIR(os.fstat(descriptor).st_mode)


def _make(root_fd: int, parts: list[str]) -> None:
    """Each component below the one before, which is held open: a swapped link has no say."""
    held = _openat2(root_fd, ".")
    for number, part in enumerate(parts):
        try:
            os.mkdir(part, 0o750, dir_fd=held)
            # As the volume's root, so that the container's user can write where it could there.
            shape = os.fstat(root_fd)
            os.chmod(part, stat.S_IMODE(shape.st_mode), dir_fd=held)
            os.chown(part, shape.st_uid, shape.st_gid, dir_fd=held)
        except FileExistsError:
            pass
        finally:
            os.close(held)
        held = _openat2(root_fd, "/".join(parts[: number + 1]))
    os.close(held)


def _openat2(root_fd: int, path: str) -> int:
    how = _OPEN_HOW.pack(os.O_PATH | os.O_CLOEXEC, 0, _RESOLVE_BENEATH | _RESOLVE_NO_MAGICLINKS)
    found: int = _libc.syscall(
        ctypes.c_long(_SYS_OPENAT2),
        ctypes.c_int(root_fd),
        ctypes.c_char_p(os.fsencode(path)),
        ctypes.c_char_p(how),
        ctypes.c_size_t(len(how)),
    )
    if found < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), path)
    return found
