"""Whose a volume's files are: everybody's, or those of the Pod's fsGroup."""

from __future__ import annotations

import os
from pathlib import Path


def settle(path: Path, gid: int | None) -> None:
    """The mode of a volume's own directory that was made just now."""
    if gid is not None:
        os.chown(path, -1, gid)
    path.chmod(0o777 | (0o2000 if gid is not None else 0))
