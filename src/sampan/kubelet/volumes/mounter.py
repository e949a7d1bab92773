"""Mounts for volumes: the real ones. Keeps contract.Mounter."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Sequence
from pathlib import Path

from sampan.kubelet.runtime import libc, mounts, rootfs

_MEMORY = libc.MS_NOSUID | libc.MS_NODEV
_IMAGE = libc.MS_RDONLY | libc.MS_NOEXEC | libc.MS_NOSUID | libc.MS_NODEV


class LinuxMounter:
    def tmpfs(
        self,
        path: str,
        size_bytes: int = 0,
        *,
        mode: int = 0o777,
        gid: int | None = None,
        secret: bool = False,
    ) -> None:
        if os.path.ismount(path):
            return
        options = _options(mode, gid) + (f",size={size_bytes}" if size_bytes else "")
        if secret:
            try:
                libc.mount("tmpfs", path, "tmpfs", _MEMORY, options + ",noswap")
            except OSError as error:
                if error.errno != errno.EINVAL:
                    raise
            else:
                return
        libc.mount("tmpfs", path, "tmpfs", _MEMORY, options)

    def huge_pages(self, path: str, page_bytes: int, *, mode: int = 0o777, gid: int | None = None) -> None:
        if not os.path.ismount(path):
            options = f"{_options(mode, gid)},pagesize={page_bytes}"
            libc.mount("hugetlbfs", path, "hugetlbfs", _MEMORY, options)

    async def layers(self, path: str, lower_dirs: Sequence[str]) -> None:
        if os.path.ismount(path):
            return
        # A thread mounts it, and who is cancelled must not leave before it has.
        mounting = asyncio.ensure_future(rootfs.mount_layers(Path(path), lower_dirs, _IMAGE))
        try:
            await asyncio.shield(mounting)
        except asyncio.CancelledError:
            await mounting
            raise

    def bind(self, source_fd: int, target: str) -> None:
        libc.mount(f"/proc/self/fd/{source_fd}", target, flags=libc.MS_BIND | libc.MS_REC)

    def unmount(self, path: str) -> None:
        mounts.detach_below(Path(path))


def _options(mode: int, gid: int | None) -> str:
    return f"mode={mode:04o}" + (f",gid={gid}" if gid is not None else "")
