"""A mounter without privileges: a tmpfs is the plain directory, a bind is remembered."""

from __future__ import annotations

from pathlib import Path


class FakeMounter:
    """`tmpfses`: path -> size; `binds`: target -> real path of the source."""

    def __init__(self) -> None:
        self.tmpfses: dict[str, int] = {}
        self.binds: dict[str, str] = {}

    def tmpfs(self, path: str, size_bytes: int = 0) -> None:
        self.tmpfses[path] = size_bytes

    def bind(self, source_fd: int, target: str) -> None:
        self.binds[target] = str(Path(f"/proc/self/fd/{source_fd}").readlink())

    def unmount(self, path: str) -> None:
        for target in [*self.tmpfses, *self.binds]:
            if target == path or target.startswith(path + "/"):
                self.tmpfses.pop(target, None)
                self.binds.pop(target, None)
