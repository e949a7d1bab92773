"""What one running cluster holds of the machine, counted: all that must be given back when Pods go."""

from __future__ import annotations

import os
import subprocess
from collections import Counter
from pathlib import Path

from harness.node import Node

DIRECTORIES = ("containers", "pods", "addresses", "run", "run/*")


def holdings(node: Node) -> dict[str, int]:
    """How many of each kind of thing; two of these, before and after, are equal if nothing leaks."""
    process = Path(f"/proc/{node.pid}")
    data = str(node.data)
    directories = {
        f"{path.relative_to(node.data)}/": _entries(path)
        for name in DIRECTORIES
        for path in node.data.glob(name)
        if path.is_dir()
    }
    cgroups = [path for path, _, _ in os.walk("/sys/fs/cgroup") if f"/sampan-{node.name}/" in f"{path}/"]
    return (
        directories
        | _descriptors(process / "fd", data)
        | _zombies(node.pid)
        | {
            "processes": sum(f"{data}/" in command for command in _commands()),
            "inotify watches": sum(_inotify_watches(info) for info in (process / "fdinfo").iterdir()),
            "mounts": Path("/proc/self/mountinfo").read_text().count(f" {data}/"),
            "processes of Pods": sum(_processes(path) for path in cgroups),
            "cgroups": len(cgroups),
            "links": len(_links(node.data / "run" / "node.net")),
        }
    )


def resident_kib(node: Node) -> int:
    """RSS of the cluster's own process."""
    status = Path(f"/proc/{node.pid}/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS:")))


def _entries(directory: Path) -> int:
    return len(list(directory.iterdir())) if directory.exists() else 0


def _processes(cgroup: str) -> int:
    """Each hierarchy tells of the same processes again."""
    try:
        return len(Path(cgroup, "cgroup.procs").read_text().split())
    except OSError:
        return 0


def _descriptors(directory: Path, data: str) -> dict[str, int]:
    """Open descriptors by what they lead to. SQLite opens its files when it first needs them, and once."""
    found: Counter[str] = Counter()
    for entry in directory.iterdir():
        try:
            target = str(entry.readlink())
        except OSError:
            continue
        if not target.startswith(f"{data}/store.db"):
            found[f"descriptors of {_kind(target)}"] += 1
    return dict(found)


def _kind(target: str) -> str:
    """`socket:[4711]` is one of many."""
    return target.partition(":[")[0] if target[-1] == "]" and "anon_inode" not in target else target


def _commands() -> list[str]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                found.append((entry / "cmdline").read_bytes().decode("latin-1"))
            except OSError:
                continue
    return found


def _zombies(parent: int) -> dict[str, int]:
    """Children of `parent` that have ended and were not waited for, by name."""
    found: Counter[str] = Counter()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                name, _, rest = (entry / "stat").read_text().rpartition(")")
            except OSError:
                continue
            state, ppid = rest.split()[:2]
            if state == "Z" and int(ppid) == parent:
                found[f"zombies of {name.partition('(')[2]}"] += 1
    return dict(found)


def _inotify_watches(info: Path) -> int:
    try:
        return info.read_text().count("inotify wd:")
    except OSError:
        return 0


def _links(namespace: Path) -> list[str]:
    argv = ["nsenter", f"--net={namespace}", "ip", "-o", "link"]
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout.splitlines()
