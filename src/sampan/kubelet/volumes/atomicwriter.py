"""Replaces all files of a directory at once: a reader sees the old set or the new one, never a mixture.

    volume/..2026_01_02_03_04_05.123456789/key     the files
    volume/..data -> ..2026_01_02_03_04_05.123456789   swapped by rename
    volume/key -> ..data/key

It is the layout that upstream's volumes have, which programs that watch `..data` rely on.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Mapping
from pathlib import Path

from sampan.kubelet.volumes.payload import File

DATA = "..data"
NEXT = "..data_tmp"
READ_BITS = 0o440


def write(directory: Path, files: Mapping[str, File], gid: int | None = None) -> bool:
    """Whether anything had to change. With `gid` (fsGroup) the files are its group's, which may read them."""
    data = directory / DATA
    present = {entry.name for entry in directory.iterdir()}
    if DATA in present and _same(data.resolve(), files, gid):
        return False
    fresh = directory / f"..{time.strftime('%Y_%m_%d_%H_%M_%S', time.gmtime())}.{time.time_ns() % 10**9:09d}"
    try:
        fresh.mkdir(mode=0o755)
        for path, file in files.items():
            _write(fresh, path, file, gid)
        if gid is not None:
            _own_directories(fresh, gid)
        link = directory / NEXT
        if NEXT in present:
            link.unlink()
        link.symlink_to(fresh.name)
        link.rename(data)
    except BaseException:
        # A full disk, or paths that cannot be together: the old set stays, and nothing of the new one.
        shutil.rmtree(fresh, ignore_errors=True)
        raise
    _link(directory, files, {name for name in present if not name.startswith("..")})
    # The set before, and what a process left that was shot while it wrote.
    for name in present:
        if name.startswith("..") and name not in (DATA, NEXT):
            shutil.rmtree(directory / name, ignore_errors=True)
    return True


def _write(fresh: Path, path: str, file: File, gid: int | None) -> None:
    target = fresh / path
    if "/" in path:
        target.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        _write_all(descriptor, file.data)
        if gid is not None or file.uid is not None:
            os.fchown(descriptor, -1 if file.uid is None else file.uid, -1 if gid is None else gid)
        # Not at creation: the umask is nobody's business here.
        os.fchmod(descriptor, _mode(file, gid))
    finally:
        os.close(descriptor)


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _mode(file: File, gid: int | None) -> int:
    return file.mode | (READ_BITS if gid is not None else 0)


def _own_directories(fresh: Path, gid: int) -> None:
    for base, _, _ in os.walk(fresh):
        os.chown(base, -1, gid)
        Path(base).chmod(0o2755)


def _link(directory: Path, files: Mapping[str, File], present: set[str]) -> None:
    """The visible names: a link for each first component, none for what is gone."""
    wanted = {path.partition("/")[0] for path in files}
    for name in wanted - present:
        (directory / name).symlink_to(f"{DATA}/{name}")
    for name in present - wanted:
        (directory / name).unlink()


def _same(current: Path, files: Mapping[str, File], gid: int | None) -> bool:
    found = [entry for entry in current.rglob("*") if not entry.is_dir()]
    if len(found) != len(files):
        return False
    for path, file in files.items():
        target = current / path
        try:
            shape = target.stat()
            if shape.st_mode & 0o7777 != _mode(file, gid) or shape.st_uid != (file.uid or shape.st_uid):
                return False
            if shape.st_size != len(file.data) or target.read_bytes() != file.data:
                return False
        except OSError:
            return False
    return True
