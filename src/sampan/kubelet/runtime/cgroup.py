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

from sampan.kubelet.runtime import usage
from sampan.kubelet.runtime.contract import Resources, Stats
from sampan.kubelet.runtime.mounts import MountPoint

MIN_SHARES, MAX_SHARES = 2, 262144
_CONTROLLERS = ("cpu", "cpuacct", "cpuset", "memory", "pids", "hugetlb")
_WEIGHTS = ("cpu.shares", "cpu.weight")
_HANDED_DOWN = ("cpu", "cpuset", "memory", "pids", "hugetlb")
_BUSY_S = 0.5


@dataclass(frozen=True, slots=True)
class Setting:
    """One file of one controller."""

    controller: str
    file: str
    value: str


def weight(shares: int) -> int:
    """cgroup v2's cpu.weight of v1's cpu.shares: the range 2..262144 onto 1..10000 (KEP-2254)."""
    clamped = min(max(shares, MIN_SHARES), MAX_SHARES)
    return 1 + (clamped - MIN_SHARES) * 9999 // (MAX_SHARES - MIN_SHARES)


def settings(resources: Resources, *, unified: bool) -> list[Setting]:
    """Every limit, also those to be lifted: 0 becomes the file's word for none."""
    r = resources
    pages = "max" if unified else "limit_in_bytes"
    huge = [Setting("hugetlb", f"hugetlb.{size}.{pages}", str(count)) for size, count in r.huge_pages.items()]
    if unified:
        return [
            Setting("cpu", "cpu.weight", str(weight(r.cpu_shares))),
            Setting("cpu", "cpu.max", f"{r.cpu_quota_us or 'max'} {r.cpu_period_us}"),
            Setting("memory", "memory.max", str(r.memory_bytes or "max")),
            Setting("pids", "pids.max", str(r.pids or "max")),
            *huge,
        ]
    return [
        Setting("cpu", "cpu.shares", str(min(max(r.cpu_shares, MIN_SHARES), MAX_SHARES))),
        Setting("cpu", "cpu.cfs_period_us", str(r.cpu_period_us)),
        Setting("cpu", "cpu.cfs_quota_us", str(r.cpu_quota_us or -1)),
        Setting("memory", "memory.limit_in_bytes", str(r.memory_bytes or -1)),
        Setting("pids", "pids.max", str(r.pids or "max")),
        *huge,
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
    leftover = second if second and usage.text(f"{second}/cgroup.controllers").strip() else ""
    known = {name: root for name, root in controllers.items() if name in _CONTROLLERS}
    if second:
        roots.append(second)  # runc makes directories there as well
    return Layout(tuple(roots), known, unified=False, hybrid_leftover=leftover)


class Cgroups:
    """Blocking, each call well below a millisecond per hierarchy."""

    def __init__(self, found: Layout) -> None:
        self.layout = found
        self._tiers: dict[str, Resources] = {}

    def make(self, path: str, resources: Resources) -> None:
        """The Pod's directory and its limits."""
        told = self._told(resources)
        for base in dict.fromkeys(self._home(setting.controller) for setting in told):
            if base is not None:
                self._make(base, path)
        self._write(path, told)

    def set_tier(self, path: str, resources: Resources) -> None:
        """Limits of a directory above Pods: written now if it exists, and whenever it is made again."""
        self._tiers[path] = resources
        for setting in settings(resources, unified=self.layout.unified):
            home = self._home(setting.controller)
            if home is not None and (directory := Path(home + path)).is_dir():
                _set(directory, setting)

    def _told(self, resources: Resources) -> list[Setting]:
        """What a new directory is told: a limit that is none is not written.

        Its weight is: the kernel's own is far above the least, which is what stands for none.
        """
        default = {
            (s.controller, s.file): s.value for s in settings(Resources(), unified=self.layout.unified)
        }
        wanted = settings(resources, unified=self.layout.unified)
        return [s for s in wanted if s.file in _WEIGHTS or default.get((s.controller, s.file)) != s.value]

    def update(self, path: str, resources: Resources) -> None:
        self._write(path, settings(resources, unified=self.layout.unified))

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
                found.update(int(pid) for pid in usage.text(f"{directory}/cgroup.procs").split())
        return found

    def stats(self, path: str) -> Stats:
        """Zeroes for what the host does not count."""
        if self.layout.unified:
            return usage.unified(self.layout.hierarchies[0] + path)
        return usage.split(*(self._base(name) + path for name in ("memory", "pids", "cpuacct")))

    def oom_kills(self, path: str) -> int:
        base = self.layout.hierarchies[0] if self.layout.unified else self._base("memory")
        return usage.oom_kills(base + path, v2=self.layout.unified)

    def _base(self, controller: str) -> str:
        return self.layout.by_controller.get(controller, "/nonexistent")

    def _write(self, path: str, wanted: Sequence[Setting]) -> None:
        for setting in wanted:
            if (base := self._home(setting.controller)) is None:
                continue  # a host without the controller has no such limit; `Host.limits` tells the user
            _set(Path(base + path), setting)

    def _home(self, controller: str) -> str | None:
        return (
            self.layout.hierarchies[0] if self.layout.unified else self.layout.by_controller.get(controller)
        )

    def _make(self, base: str, path: str) -> None:
        """On v2 every level must hand its controllers down."""
        parts = path.strip("/").split("/")
        for depth, name in enumerate(parts):
            parent = Path(base, *parts[:depth])
            fresh = not (parent / name).is_dir()
            (parent / name).mkdir(exist_ok=True)
            if self.layout.unified:
                have = usage.text(str(parent / "cgroup.controllers")).split()
                enable = " ".join(f"+{name}" for name in _HANDED_DOWN if name in have)
                (parent / "cgroup.subtree_control").write_text(enable)
            tier = self._tiers.get("/" + "/".join(parts[: depth + 1]))
            if fresh and tier is not None:
                for setting in self._told(tier):
                    if self._home(setting.controller) == base:
                        _set(parent / name, setting)


def _set(directory: Path, setting: Setting) -> None:
    try:
        (directory / setting.file).write_text(setting.value)
    except FileNotFoundError:
        if not directory.is_dir():
            raise
        # The kernel was built without this file.


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
