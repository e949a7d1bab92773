"""What a cluster can leave behind on a host, counted."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path


def traces(of: Path) -> dict[str, set[str]]:
    """Everything on this machine that a cluster in directory `of` could have made, by kind.

    Two of these before and after tell what was left: processes, mounts, links, routes, rules, cgroups.
    """
    return {
        "processes": _processes(str(of)),
        "mounts": {line for line in Path("/proc/self/mountinfo").read_text().splitlines() if str(of) in line},
        "links": set(_lines("ip", "-o", "link")),
        "routes": set(_lines("ip", "route", "show", "table", "all")),
        "rules": set(_lines("ip", "rule")) | set(_lines("nft", "list", "tables")),
        "cgroups": _cgroups(),
        "namespaces": _namespaces(),
    }


def left_over(before: dict[str, set[str]], after: dict[str, set[str]]) -> dict[str, set[str]]:
    found = {kind: after[kind] - before[kind] for kind in after}
    return {kind: names for kind, names in found.items() if names}


def _lines(*argv: str) -> list[str]:
    # Statistics and lifetimes differ from one moment to the next; they are no traces.
    out = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    return [line.split(" expires ")[0].strip() for line in out.splitlines()]


def _processes(of: str) -> set[str]:
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode("latin-1")
            except OSError:
                continue
            if of in command:
                found.add(f"{entry.name} {command}")
    return found


def _cgroups() -> set[str]:
    return {
        path for path, _, _ in os.walk("/sys/fs/cgroup") if "/sampan-" in path and "/sampan-e2e" not in path
    }


def _namespaces() -> set[str]:
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                found.add(str((entry / "ns/net").readlink()))
            except OSError:
                continue
    return found
