"""What a cgroup uses: processor time, memory, processes. Reads a few small files a cgroup; v1 and v2.

Working set: memory that cannot be dropped at once, which is usage without inactive file pages (upstream's
`working_set_bytes`). Files of other controllers may be missing on a host: what it does not count is 0.
"""

from __future__ import annotations

from pathlib import Path

from sampan.kubelet.runtime.contract import Stats

UNLIMITED = 1 << 62
"""v1 says "no limit" by a number near 2^63."""


def unified(directory: str) -> Stats:
    """Of a cgroup v2 directory."""
    memory = _table(f"{directory}/memory.stat")
    used = _number(f"{directory}/memory.current")
    return Stats(
        cpu_ns=_table(f"{directory}/cpu.stat").get("usage_usec", 0) * 1000,
        memory_bytes=used,
        working_set_bytes=max(used - memory.get("inactive_file", 0), 0),
        pids=_number(f"{directory}/pids.current"),
        rss_bytes=memory.get("anon", 0),
        page_faults=memory.get("pgfault", 0),
        major_page_faults=memory.get("pgmajfault", 0),
        memory_limit_bytes=_number(f"{directory}/memory.max"),
        swap_bytes=_number(f"{directory}/memory.swap.current"),
    )


def split(memory: str, pids: str, cpuacct: str) -> Stats:
    """Of the directories of one cgroup in v1's hierarchies."""
    table = _table(f"{memory}/memory.stat")
    used, limit = _number(f"{memory}/memory.usage_in_bytes"), _number(f"{memory}/memory.limit_in_bytes")
    return Stats(
        cpu_ns=_number(f"{cpuacct}/cpuacct.usage"),
        memory_bytes=used,
        working_set_bytes=max(used - table.get("total_inactive_file", 0), 0),
        pids=_number(f"{pids}/pids.current"),
        rss_bytes=table.get("total_rss", 0),
        page_faults=table.get("total_pgfault", 0),
        major_page_faults=table.get("total_pgmajfault", 0),
        memory_limit_bytes=limit if limit < UNLIMITED else 0,
        swap_bytes=table.get("total_swap", 0),
    )


def oom_kills(directory: str, *, v2: bool) -> int:
    """How often the kernel killed in this memory cgroup or (v2) below it."""
    return _table(f"{directory}/memory.events" if v2 else f"{directory}/memory.oom_control").get(
        "oom_kill", 0
    )


def text(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""  # gone, or a file this kernel does not have


def _number(path: str) -> int:
    found = text(path).strip()
    return int(found) if found.isdecimal() else 0


def _table(path: str) -> dict[str, int]:
    rows = (line.split() for line in text(path).splitlines())
    return {row[0]: int(row[1]) for row in rows if len(row) == 2 and row[1].isdecimal()}
