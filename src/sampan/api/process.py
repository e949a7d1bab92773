"""The process's own numbers, under the names that every Prometheus client library uses."""

from __future__ import annotations

import os
import time
from pathlib import Path

from sampan.api.prometheus import Family, Sample

_BEGAN_S = time.time()


def families(proc: Path = Path("/proc/self")) -> list[Family]:
    """Memory and descriptors only where there is a /proc."""
    spent = "Total user and system CPU time spent in seconds."
    began = "Start time of the process since unix epoch in seconds."
    return [
        Family("process_cpu_seconds_total", "counter", spent, [Sample(time.process_time())]),
        Family("process_start_time_seconds", "gauge", began, [Sample(_BEGAN_S)]),
        *(_held(proc) if proc.exists() else ()),
    ]


def _held(proc: Path) -> list[Family]:
    size, resident = (
        int(word) * os.sysconf("SC_PAGE_SIZE") for word in (proc / "statm").read_text().split()[:2]
    )
    descriptors = sum(1 for _ in (proc / "fd").iterdir())
    memory = "Resident memory size in bytes."
    return [
        Family("process_open_fds", "gauge", "Number of open file descriptors.", [Sample(descriptors)]),
        Family("process_resident_memory_bytes", "gauge", memory, [Sample(resident)]),
        Family("process_virtual_memory_bytes", "gauge", "Virtual memory size in bytes.", [Sample(size)]),
    ]
