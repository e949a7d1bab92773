"""What the node and its containers have used up to one moment, and what two moments say of the time between.

Pure, but for `host`, which reads /proc.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from sampan.api.streams import ContainerUsage, NodeUsage, PodUsage
from sampan.kubelet.runtime.contract import Stats

NO_STATS = Stats(0, 0, 0, 0)
_BUSY = (0, 1, 2, 5, 6, 7)
"""The columns of /proc/stat in which a processor works: user, nice, system, irq, softirq, steal."""


@dataclass(frozen=True, slots=True)
class ContainerReading:
    """One running container; `uid` is its Pod's."""

    uid: str
    name: str
    pid: int
    started_at_s: float
    stats: Stats


@dataclass(frozen=True, slots=True)
class PodReading:
    namespace: str
    name: str
    uid: str
    started_at_s: float
    stats: Stats


@dataclass(frozen=True, slots=True)
class Reading:
    """`containers` by ID, `pods` by uid; only what runs."""

    at_s: float
    node: Stats
    containers: Mapping[str, ContainerReading] = field(default_factory=dict)
    pods: Mapping[str, PodReading] = field(default_factory=dict)


def nanocores(before: Stats | None, now: Stats, window_s: float) -> int:
    """Nanoseconds of processor time a second; what was not there before began at nothing."""
    used = now.cpu_ns - (before.cpu_ns if before is not None else 0)
    return max(int(used / max(window_s, 0.001)), 0)


def usage(before: Reading, now: Reading) -> NodeUsage:
    """The rates between two readings. What is younger than `before` has its own life as window."""
    window_s = now.at_s - before.at_s
    by_pod: dict[str, list[ContainerUsage]] = {}
    windows: dict[str, float] = {}
    for container_id, reading in now.containers.items():
        then = before.containers.get(container_id)
        own_s = window_s if then is not None else max(now.at_s - reading.started_at_s, 0.001)
        windows[reading.uid] = min(windows.get(reading.uid, own_s), own_s)
        rate = nanocores(then.stats if then else None, reading.stats, own_s)
        found = ContainerUsage(reading.name, rate, reading.stats.working_set_bytes)
        by_pod.setdefault(reading.uid, []).append(found)
    pods = [
        PodUsage(pod.namespace, pod.name, now.at_s, windows[uid], by_pod[uid])
        for uid, pod in now.pods.items()
        if uid in by_pod
    ]
    node = nanocores(before.node, now.node, window_s)
    return NodeUsage(now.at_s, window_s, node, now.node.working_set_bytes, pods)


def host(proc: Path = Path("/proc")) -> Stats:
    """The whole machine. Its working set is what it could not give away at once."""
    ticks = [int(word) for word in (proc / "stat").read_text().partition("\n")[0].split()[1:]]
    rows = (line.split() for line in (proc / "meminfo").read_text().splitlines())
    memory = {row[0]: int(row[1]) << 10 for row in rows if len(row) >= 2 and row[1].isdecimal()}
    total = memory.get("MemTotal:", 0)
    used = total - memory.get("MemFree:", 0)
    faults = dict(line.split() for line in (proc / "vmstat").read_text().splitlines())
    return Stats(
        cpu_ns=sum(ticks[column] for column in _BUSY) * 1_000_000_000 // os.sysconf("SC_CLK_TCK"),
        memory_bytes=used,
        working_set_bytes=max(total - memory.get("MemAvailable:", 0), 0),
        pids=int((proc / "loadavg").read_text().split()[3].partition("/")[2]),
        rss_bytes=memory.get("AnonPages:", 0),
        page_faults=int(faults.get("pgfault", 0)),
        major_page_faults=int(faults.get("pgmajfault", 0)),
        memory_limit_bytes=total,
        swap_bytes=memory.get("SwapTotal:", 0) - memory.get("SwapFree:", 0),
    )
