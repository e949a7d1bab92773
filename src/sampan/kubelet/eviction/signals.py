"""What is left on the node of memory, disks and process ids: the facts that thresholds are held against.

Memory is what the kernel could give without swapping (MemAvailable); upstream's own sum leaves out what the
kernel knows better. Reads a few small files, nothing blocks.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Observation:
    """Bytes, inodes or process ids. `capacity` 0: the signal has no meaning here."""

    available: int
    capacity: int


@dataclass(frozen=True, slots=True)
class NodeSignals:
    """This machine's; `nodefs` and `imagefs` are directories on the disks that count, `proc` is /proc."""

    nodefs: Path
    imagefs: Path
    proc: Path = Path("/proc")

    def __call__(self) -> Mapping[str, Observation]:
        found = {"memory.available": self._memory(), "pid.available": self._pids()}
        for name, directory in (("nodefs", self.nodefs), ("imagefs", self.imagefs)):
            disk = _disk(directory)
            found[f"{name}.available"], found[f"{name}.inodesFree"] = disk
        return found

    def _memory(self) -> Observation:
        rows = (line.split() for line in (self.proc / "meminfo").read_text().splitlines())
        table = {row[0]: int(row[1]) << 10 for row in rows if len(row) >= 2 and row[1].isdecimal()}
        return Observation(table.get("MemAvailable:", 0), table.get("MemTotal:", 0))

    def _pids(self) -> Observation:
        """Threads count as processes do: they share the numbers."""
        most = int((self.proc / "sys/kernel/pid_max").read_text())
        # "0.20 0.18 0.12 1/80 11206": running/all
        running = int((self.proc / "loadavg").read_text().split()[3].partition("/")[2])
        return Observation(max(most - running, 0), most)


def _disk(directory: Path) -> tuple[Observation, Observation]:
    """(bytes, inodes) as an ordinary process may use them; some file systems count no inodes."""
    try:
        found = os.statvfs(directory)
    except FileNotFoundError:
        return Observation(0, 0), Observation(0, 0)
    unit = found.f_frsize
    return (
        Observation(found.f_bavail * unit, found.f_blocks * unit),
        Observation(found.f_favail, found.f_files),
    )
