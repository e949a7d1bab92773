"""Whose a volume's files are: everybody's, or those of the Pod's fsGroup.

Source: tasks/configure-pod-container/security-context, on volume permission and ownership change policy.
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
from pathlib import Path

from sampan.api.objects import Obj
from sampan.kubelet.volumes.contract import Volume

MODE = 0o777
DEEPEST = 200
SETGID = 0o2000
FILE_BITS, DIRECTORY_BITS = 0o660, 0o770
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def make(path: Path, gid: int | None) -> None:
    """A volume's own directory, whole or not at all: a crash between leaves none of the wrong mode."""
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    # No volume has a dot at its beginning.
    fresh = path.with_name(f".{secrets.token_hex(8)}")
    fresh.mkdir()
    if gid is not None:
        os.chown(fresh, -1, gid)
    fresh.chmod(mode(gid))
    fresh.rename(path)


def mode(gid: int | None) -> int:
    return MODE if gid is None else MODE | SETGID


def claim(volume: Volume, path: Path) -> None:
    """Makes what a volume already holds the fsGroup's, if the Pod has one. Blocking; raises OSError.

    Never for hostPath: those files are the node's. With `fsGroupChangePolicy: OnRootMismatch` the volume's
    root says whether anything is to be done.
    """
    gid = volume.fs_group
    if gid is None:
        return
    context: Obj = volume.pod["spec"].get("securityContext") or {}
    if context.get("fsGroupChangePolicy") == "OnRootMismatch" and _is_settled(path, gid):
        return
    root = os.open(path, _DIRECTORY)
    try:
        _claim_below(root, gid, 0)
        # Last: it says that all below is done, also to who comes after a crash.
        _adopt(root, gid, DIRECTORY_BITS | SETGID)
    finally:
        os.close(root)


def _is_settled(path: Path, gid: int) -> bool:
    shape, wanted = path.stat(), DIRECTORY_BITS | SETGID
    return shape.st_gid == gid and shape.st_mode & wanted == wanted


def _claim_below(directory: int, gid: int, depth: int) -> None:
    if depth > DEEPEST:
        raise OSError(errno.ENAMETOOLONG, f"directories are nested more than {DEEPEST} deep")
    with os.scandir(directory) as entries:
        for entry in entries:
            if entry.is_symlink():
                os.chown(entry.name, -1, gid, dir_fd=directory, follow_symlinks=False)
            elif entry.is_dir(follow_symlinks=False):
                child = os.open(entry.name, _DIRECTORY, dir_fd=directory)
                try:
                    _claim_below(child, gid, depth + 1)
                    _adopt(child, gid, DIRECTORY_BITS | SETGID)
                finally:
                    os.close(child)
            elif entry.is_file(follow_symlinks=False):
                flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
                file = os.open(entry.name, flags, dir_fd=directory)
                try:
                    _adopt(file, gid, FILE_BITS)
                finally:
                    os.close(file)
            else:
                os.chown(entry.name, -1, gid, dir_fd=directory, follow_symlinks=False)


def _adopt(descriptor: int, gid: int, bits: int) -> None:
    shape = os.fstat(descriptor)
    if shape.st_gid != gid:
        os.fchown(descriptor, -1, gid)
    if shape.st_mode & bits != bits:
        os.fchmod(descriptor, stat.S_IMODE(shape.st_mode) | bits)
