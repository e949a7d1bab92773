"""What a cluster can leave behind on a host, counted; other clusters of the machine do not count."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

ROUTES = ("ip", "route", "show", "table", "all")
PINNED = re.compile(r" (net:\[\d+\]) (\S+) ")


class Traces:
    """Everything on this machine that cluster `name` in directory `of` has made, by kind."""

    def __init__(self, of: Path, name: str) -> None:
        self._of, self._name = str(of), name
        self._namespaces: set[str] = set()
        """Every network namespace that was ever seen pinned below the directory."""

    def look(self) -> dict[str, set[str]]:
        """Kinds of which there is nothing are left out: after `down` the answer is empty."""
        mounts = Path("/proc/self/mountinfo").read_text().splitlines()
        mine = {line for line in mounts if f"{self._of}/" in line or f"{self._of} " in line}
        self._namespaces |= {found[1] for line in mine if (found := PINNED.search(line))}
        links = {name for name, owner in _links().items() if owner == f"sampan {self._name}"}
        found = {
            "processes": processes(Path(self._of)),
            "mounts": mine,
            "links": links,
            "routes": {
                line for line in _lines("ip", "route", "show", "table", "all") if links & {*line.split()}
            },
            "rules": {line for line in _lines("nft", "list", "tables") if "sampan" in line},
            "cgroups": {path for path, _, _ in os.walk("/sys/fs/cgroup") if f"/sampan-{self._name}" in path},
            "namespaces": self._namespaces & _namespaces_in_use(),
        }
        return {kind: names for kind, names in found.items() if names}


def _links() -> dict[str, str]:
    """Network links of the host's namespace -> their alias, which says whose they are."""
    return {
        link.name: (link / "ifalias").read_text().strip()
        for link in Path("/sys/class/net").iterdir()
        if (link / "ifalias").exists()
    }


def _lines(*argv: str) -> list[str]:
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout.splitlines()


def processes(of: Path) -> set[str]:
    """`PID COMMAND` of everything that has the directory in its command line: the cluster's, and conmons."""
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode("latin-1")
            except OSError:
                continue
            if str(of) in command:
                found.add(f"{entry.name} {command}")
    return found


def _namespaces_in_use() -> set[str]:
    """By a process, or by a pin."""
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    found = {pin[1] for line in mounts if (pin := PINNED.search(line))}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                found.add(str((entry / "ns/net").readlink()))
            except OSError:
                continue
    return found
