"""What volumes need of Linux, and what they give to containers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


class VolumeFault(Exception):
    """A volume could not be made; the text is fit for an Event."""

    def __init__(self, volume: str, message: str) -> None:
        super().__init__(message)
        self.volume, self.message = volume, message


class SubPathFault(Exception):
    """A subPath leads out of its volume or cannot be made."""


@dataclass(frozen=True, slots=True)
class Mounted:
    """A volume that is ready; `path` is a directory, or what a hostPath names."""

    path: str
    read_only: bool = False


class Mounter(Protocol):
    """Mounts in the mount namespace that this process shares with its successors."""

    def tmpfs(self, path: str, size_bytes: int = 0) -> None:
        """A tmpfs of at most so many bytes (0: half of memory). Idempotent."""

    def bind(self, source_fd: int, target: str) -> None:
        """Makes the open file or directory visible at `target`, which exists and is of the same kind."""

    def unmount(self, path: str) -> None:
        """Also what is mounted below. No error if nothing is."""
