"""subPath: a place inside a volume, opened so that no link can lead out of it, and shown by its descriptor.

A container may have put links into the volume and may go on changing it; so what was found beneath the
volume's root (see beneath) is bind-mounted by its open descriptor: between the check and the use there is no
name that could come to mean something else. What is missing is made the same way, component by component.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Mapping

from sampan.api.objects import Obj
from sampan.kubelet.command import expand, references
from sampan.kubelet.volumes.beneath import open_beneath
from sampan.kubelet.volumes.contract import SubPathFault

_OUT = "it leads out of the volume"


def sub_path(mount: Obj, env: Mapping[str, str]) -> str:
    """The path below the volume, "" for the whole; raises SubPathFault if it cannot be one."""
    if path := mount.get("subPath"):
        return _checked(path)
    expression = mount.get("subPathExpr")
    if not expression:
        return ""
    if missing := sorted({name for name in references(expression) if not env.get(name)}):
        raise SubPathFault(f"missing value for {', '.join(missing)}")
    path = expand(expression, env)
    if "`" in path:
        raise SubPathFault(f"unable to provision SubPath `{path}`: it has a backtick")
    return _checked(path)


def _checked(path: str) -> str:
    if path.startswith("/"):
        raise SubPathFault(f"error SubPath `{path}` must not be an absolute path")
    if ".." in path.split("/"):
        raise SubPathFault(f"unable to provision SubPath `{path}`: must not contain '..'")
    return path


def open_sub_path(root: str, path: str, *, make: bool = True) -> int:
    """An O_PATH descriptor of `path` below the volume. `make`: missing directories. Raises SubPathFault."""
    parts = [part for part in _checked(path).split("/") if part not in ("", ".")]
    try:
        root_fd = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            return _open(root_fd, parts, make=make)
        finally:
            os.close(root_fd)
    except OSError as error:
        reason = _OUT if error.errno == errno.EXDEV else (error.strerror or str(error)).lower()
        raise SubPathFault(f'failed to prepare subPath "{path}": {reason}') from error


def is_directory(descriptor: int) -> bool:
    return stat.S_ISDIR(os.fstat(descriptor).st_mode)


def _open(root: int, parts: list[str], *, make: bool) -> int:
    path = "/".join(parts)
    try:
        return open_beneath(root, path)
    except FileNotFoundError:
        if not make:
            raise
    _make(root, parts)
    return open_beneath(root, path)


def _make(root: int, parts: list[str]) -> None:
    """Each component below the one before, which is held open: a swapped link has no say."""
    shape = os.fstat(root)
    held = open_beneath(root, "")
    try:
        for number, part in enumerate(parts):
            try:
                os.mkdir(part, 0o700, dir_fd=held)
            except FileExistsError:
                following = open_beneath(root, "/".join(parts[: number + 1]))
            else:
                following = _like(held, part, shape)
            os.close(held)
            held = following
    finally:
        os.close(held)


def _like(parent: int, name: str, shape: os.stat_result) -> int:
    """A directory that was made just now becomes like the volume's root: who may write there may write here.

    By its descriptor: somebody may have put a link in its place.
    """
    made = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    try:
        os.fchown(made, shape.st_uid, shape.st_gid)
        os.fchmod(made, stat.S_IMODE(shape.st_mode))
    except BaseException:
        os.close(made)
        raise
    return made
