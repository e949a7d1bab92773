"""How much of the node's disk a directory holds: what was written there, not what is mounted or linked.

Looked at, not watched: a count that the kernel would keep needs project quotas, which most disks lack.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

_BLOCK_BYTES = 512


@dataclass(frozen=True, slots=True)
class Usage:
    bytes: int = 0
    inodes: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(self.bytes + other.bytes, self.inodes + other.inodes)


def measure(path: str) -> Usage:
    """Blocking. Files with several names count once; other file systems below count nothing."""
    try:
        shape = Path(path).lstat()
    except FileNotFoundError:
        return Usage()
    linked: set[int] = set()
    used, inodes = shape.st_blocks * _BLOCK_BYTES, 1
    ahead = [path]
    while ahead:
        try:
            entries = os.scandir(ahead.pop())
        except OSError:
            continue  # gone since, or too deep to be named: what is left of the tree still counts
        with entries:
            for entry in entries:
                try:
                    found = entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue
                if found.st_dev != shape.st_dev:
                    continue
                if entry.is_dir(follow_symlinks=False):
                    ahead.append(entry.path)
                elif found.st_nlink > 1:
                    if found.st_ino in linked:
                        continue
                    linked.add(found.st_ino)
                used += found.st_blocks * _BLOCK_BYTES
                inodes += 1
    return Usage(used, inodes)
