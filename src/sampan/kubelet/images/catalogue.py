"""Which images are here: names, manifests, and the directories of their layers. One JSON file.

Several processes may share a store. Every change reads the file again under a lock, and is renamed into
place; readers notice a newer file by its inode and time.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import orjson

from sampan.kubelet.images.contract import Image


@dataclass(frozen=True, slots=True)
class Entry:
    """An image under one name. `layers`: directory names, topmost first; `blobs`: digests.

    `guards`: see contract.Image. Times are seconds since the epoch: when it came, and when a container last
    needed it (kept in memory, written now and then).
    """

    reference: str
    digest: str
    id: str
    layers: tuple[str, ...]
    blobs: tuple[str, ...]
    size_bytes: int
    config: Mapping[str, Any] = field(default_factory=dict)
    guards: tuple[str, ...] = ()
    came_at_s: float = 0.0
    used_at_s: float = 0.0
    imported: bool = False
    """It came from a file: no registry may have it again."""

    def image(self, layers_dir: Path) -> Image:
        config = self.config
        return Image(
            reference=self.reference,
            digest=self.digest,
            id=self.id,
            lower_dirs=tuple(f"{layers_dir}/{name}" for name in self.layers),
            size_bytes=self.size_bytes,
            entrypoint=tuple(config.get("Entrypoint") or ()),
            cmd=tuple(config.get("Cmd") or ()),
            env=tuple(config.get("Env") or ()),
            user=str(config.get("User") or ""),
            working_dir=str(config.get("WorkingDir") or ""),
            stop_signal=str(config.get("StopSignal") or ""),
            volumes=tuple(config.get("Volumes") or ()),
            labels=dict(config.get("Labels") or {}),
            guards=self.guards,
        )


class Catalogue:
    def __init__(self, directory: Path) -> None:
        self._file, self._lock_file = directory / "images.json", directory / "images.lock"
        self._entries: dict[str, Entry] = {}
        self._seen: tuple[int, int] | None = None

    def entries(self) -> Mapping[str, Entry]:
        """By reference. Costs one stat() while nothing changes."""
        try:
            info = self._file.stat()
        except FileNotFoundError:
            self._entries, self._seen = {}, None
            return self._entries
        if (stamp := (info.st_ino, info.st_mtime_ns)) != self._seen:
            known = {entry.name for entry in fields(Entry)}
            documents = orjson.loads(self._file.read_bytes())
            rows = ({k: v for k, v in row.items() if k in known} for row in documents)
            found = [_entry(row) for row in rows]
            self._entries = {entry.reference: entry for entry in found}
            self._seen = stamp
        return self._entries

    def change(self, edit: Callable[[dict[str, Entry]], None]) -> None:
        """Blocking: waits for other processes' changes, which last a millisecond."""
        with locked(self._lock_file, fcntl.LOCK_EX):
            entries = dict(self.entries())
            edit(entries)
            temporary = self._file.with_suffix(".new")
            with open(temporary, "wb", opener=_private) as file:
                file.write(orjson.dumps([asdict(entry) for entry in entries.values()]))
                file.flush()
                os.fsync(file.fileno())
            temporary.rename(self._file)
            self._seen = None


def _entry(row: dict[str, Any]) -> Entry:
    lists: dict[str, Any] = {name: tuple(value) for name, value in row.items() if isinstance(value, list)}
    return Entry(**row | lists)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC, 0o600)


@contextmanager
def locked(path: Path, operation: int) -> Iterator[None]:
    """flock(2) on the file. Raises BlockingIOError with LOCK_NB."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, operation)
        yield
    finally:
        os.close(fd)
