"""A mounter without privileges: a tmpfs is the plain directory, a bind is remembered."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


class FakeMounter:
    """`tmpfses`: path -> size; `binds`: target -> real path of the source; `images`: path -> layers."""

    def __init__(self) -> None:
        self.tmpfses: dict[str, int] = {}
        self.huge: dict[str, int] = {}
        self.binds: dict[str, str] = {}
        self.images: dict[str, tuple[str, ...]] = {}

    def tmpfs(
        self,
        path: str,
        size_bytes: int = 0,
        *,
        mode: int = 0o777,
        gid: int | None = None,
        secret: bool = False,
    ) -> None:
        self.tmpfses.setdefault(path, size_bytes)

    def huge_pages(self, path: str, page_bytes: int, *, mode: int = 0o777, gid: int | None = None) -> None:
        self.huge.setdefault(path, page_bytes)

    async def layers(self, path: str, lower_dirs: Sequence[str]) -> None:
        self.images.setdefault(path, tuple(lower_dirs))

    def bind(self, source_fd: int, target: str) -> None:
        self.binds[target] = str(Path(f"/proc/self/fd/{source_fd}").readlink())

    def unmount(self, path: str) -> None:
        for held in (self.tmpfses, self.huge, self.binds, self.images):
            for target in list(held):
                if target == path or target.startswith(path + "/"):
                    del held[target]
