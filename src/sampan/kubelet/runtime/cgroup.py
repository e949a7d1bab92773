"""cgroups of Pods and containers, v1 (also hybrid) and v2.

The OCI runtime makes a container's own cgroup; the directories above it, their limits and their removal
are ours. Paths such as /kubepods/burstable/podUID are below every hierarchy's root. What to write is decided
by the pure `settings`; `Cgroups` writes it.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sampan.kubelet.runtime.contract import Resources
from sampan.kubelet.runtime.mounts import MountPoint

MIN_SHARES, MAX_SHARES = 2, 262144
_CONTROLLERS = ("cpu", "cpuacct", "cpuset", "memory", "pids")
_WEIGHTS = ("cpu.shares", "cpu.weight")
_BUSY_S = 0.5


@dataclass(frozen=True, slots=True)
class Setting:
    """One file of one controller."""

    controller: str
    file: str
    value: str


@dataclass(frozen=True, slots=True)
class Stats:
    """What a cgroup uses now. `working_set_bytes` is memory that cannot be dropped at once."""

    cpu_ns: int
    memory_bytes: int
    working_set_bytes: int
    pids: int


def weight(shares: int) -> int:
    """cgroup v2's cpu.weight of v1's cpu.shares: the range 2..262144 onto 1..10000 (KEP-2254)."""
    clamped = min(max(shares, MIN_SHARES), MAX_SHARES)
    return 1 + (clamped - MIN_SHARES) * 9999 // (MAX_SHARES - MIN_SHARES)


def settings(resources: Resources, *, unified: bool) -> list[Setting]:
    """Every limit, also those to be lifted: 0 becomes the file's word for none."""
    r = resources
    if unified:
        return [
            Setting("cpu", "cpu.weight", str(weight(r.cpu_shares))),
            Setting("cpu", "cpu.max", f"{r.cpu_quota_us or 'max'} {r.cpu_period_us}"),
            Setting("memory", "memory.max", str(r.memory_bytes or "max")),
            Setting("pids", "pids.max", str(r.pids or "max")),
        ]
    return [
        Setting("cpu", "cpu.shares", str(min(max(r.cpu_shares, MIN_SHARES), MAX_SHARES))),
        Setting("cpu", "cpu.cfs_period_us", str(r.cpu_period_us)),
        Setting("cpu", "cpu.cfs_quota_us", str(r.cpu_quota_us or -1)),
        Setting("memory", "memory.limit_in_bytes", str(r.memory_bytes or -1)),
        Setting("pids", "pids.max", str(r.pids or "max")),
    ]


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the hierarchies are. `by_controller` is empty on a unified host.

    `hybrid_leftover`: a cgroup2 mount beside v1 that still owns a controller; crun refuses to create there
    unless it does not see that mount.
    """

    hierarchies: tuple[str, ...]
    by_controller: Mapping[str, str]
    unified: bool
    hybrid_leftover: str = ""


def layout(points: Iterable[MountPoint]) -> Layout:
    roots: list[str] = []
    controllers: dict[str, str] = {}
    second = ""
    for point in points:
        if point.kind == "cgroup" and point.target.startswith("/sys/fs/cgroup/"):
            roots.append(point.target)
            for option in point.super_options.split(","):
                controllers.setdefault(option, point.target)
        elif point.kind == "cgroup2" and point.target.startswith("/sys/fs/cgroup"):
            second = point.target
    if not roots and second:
        return Layout((second,), {}, unified=True)
    leftover = second if second and _text(f"{second}/cgroup.controllers").strip() else ""
    known = {name: root for name, root in controllers.items() if name in _CONTROLLERS}
    return Layout(tuple(roots), known, unified=False, hybrid_leftover=leftover)


class Cgroups:
    """Blocking, each call well below a millisecond per hierarchy."""

    def __init__(self, found: Layout) -> None:
        self.layout = found

    def make(self, path: str, resources: Resources) -> None:
        """The Pod's directory and its limits; a limit that is none is not written.

        Its weight is: the kernel's own is far above the least, which is what stands for none.
        """
        default = {
            (s.controller, s.file): s.value for s in settings(Resources(), unified=self.layout.unified)
        }
        wanted = settings(resources, unified=self.layout.unified)
        told = [s for s in wanted if s.file in _WEIGHTS or default[s.controller, s.file] != s.value]
        self._write(path, told, create=True)

    def update(self, path: str, resources: Resources) -> None:
        self._write(path, settings(resources, unified=self.layout.unified), create=False)

    def remove(self, path: str) -> None:
        """The cgroup and all below it, in every hierarchy. Waits shortly for processes that are ending."""
        for root in self.layout.hierarchies:
            top = root + path
            for directory, _, _ in os.walk(top, topdown=False):
                _rmdir(directory, patience_s=_BUSY_S)

    def remove_if_empty(self, path: str) -> None:
        for root in self.layout.hierarchies:
            _rmdir(root + path, patience_s=0.0)

    def members(self, path: str) -> set[int]:
        """Processes in the cgroup or below it, in any hierarchy."""
        found: set[int] = set()
        for root in self.layout.hierarchies:
            for directory, _, _ in os.walk(root + path):
                found.update(int(pid) for pid in _text(f"{directory}/cgroup.procs").split())
        return found

    def stats(self, path: str) -> Stats:
        """Zeroes for what the host does not count."""
        if self.layout.unified:
            base = self.layout.hierarchies[0] + path
            usage = _number(f"{base}/memory.current")
            idle = _table(f"{base}/memory.stat").get("inactive_file", 0)
            cpu = _table(f"{base}/cpu.stat").get("usage_usec", 0) * 1000
            return Stats(cpu, usage, max(usage - idle, 0), _number(f"{base}/pids.current"))
        memory, pids, cpu_root = (self._base(name) + path for name in ("memory", "pids", "cpuacct"))
        usage = _number(f"{memory}/memory.usage_in_bytes")
        idle = _table(f"{memory}/memory.stat").get("total_inactive_file", 0)
        cpu = _number(f"{cpu_root}/cpuacct.usage")
        return Stats(cpu, usage, max(usage - idle, 0), _number(f"{pids}/pids.current"))

    def _base(self, controller: str) -> str:
        return self.layout.by_controller.get(controller, "/nonexistent")

    def _write(self, path: str, wanted: Sequence[Setting], *, create: bool) -> None:
        for setting in wanted:
            if self.layout.unified:
                base = self.layout.hierarchies[0]
            elif (base := self.layout.by_controller.get(setting.controller, "")) == "":
                continue  # a host without the controller has no such limit; `Host.limits` tells the user
            directory = Path(base + path)
            if create:
                self._make(base, path)
            try:
                (directory / setting.file).write_text(setting.value)
            except FileNotFoundError:
                if directory.is_dir():
                    continue  # the kernel was built without this file
                raise

    def _make(self, base: str, path: str) -> None:
        """On v2 every level must hand its controllers down."""
        parts = path.strip("/").split("/")
        for depth, _ in enumerate(parts):
            parent = Path(base, *parts[:depth])
            (parent / parts[depth]).mkdir(exist_ok=True)
            if self.layout.unified:
                have = (parent / "cgroup.controllers").read_text().split()
                enable = " ".join(f"+{name}" for name in ("cpu", "cpuset", "memory", "pids") if name in have)
                (parent / "cgroup.subtree_control").write_text(enable)


def _rmdir(directory: str, *, patience_s: float) -> None:
    """A cgroup stays busy for a moment after its last process has ended."""
    deadline = time.monotonic() + patience_s
    while True:
        try:
            Path(directory).rmdir()
        except FileNotFoundError:
            return
        except OSError as error:
            if error.errno not in (errno.EBUSY, errno.ENOTEMPTY) or time.monotonic() >= deadline:
                if patience_s == 0.0:
                    return
                raise
            time.sleep(0.002)
        else:
            return


def _text(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""  # gone, or a file this kernel does not have


def _number(path: str) -> int:
    text = _text(path).strip()
    return int(text) if text.isdecimal() else 0


def _table(path: str) -> dict[str, int]:
    rows = (line.split() for line in _text(path).splitlines())
    return {row[0]: int(row[1]) for row in rows if len(row) == 2}
