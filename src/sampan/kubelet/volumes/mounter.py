"""Mounts for volumes: the real ones. Keeps contract.Mounter."""

from __future__ import annotations

import os
from pathlib import Path

from sampan.kubelet.runtime import libc, mounts


class LinuxMounter:
    def tmpfs(self, path: str, size_bytes: int = 0) -> None:
        if os.path.ismount(path):
            return
        options = "mode=0777" + (f",size={size_bytes}" if size_bytes else "")
        libc.mount("tmpfs", path, "tmpfs", libc.MS_NOSUID | libc.MS_NODEV, options)

    def bind(self, source_fd: int, target: str) -> None:
        libc.mount(f"/proc/self/fd/{source_fd}", target, flags=libc.MS_BIND | libc.MS_REC)

    def unmount(self, path: str) -> None:
        mounts.detach_below(Path(path))
