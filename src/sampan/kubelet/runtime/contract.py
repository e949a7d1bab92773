"""What the kubelet needs of a container runtime, in the words of CRI but without its daemon.

Lifetimes: a sandbox owns the namespaces of a Pod and outlives its containers; both outlive this process.
Identity: the caller names sandboxes (Pod UID) and containers (a unique ID per attempt); names are used once.
All calls are idempotent towards a repeated call with the same arguments: removing what is gone succeeds.
Errors: `RuntimeFault`, whose text is fit for an Event.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol


class RuntimeFault(Exception):
    """The runtime refused. `reason` is the waiting reason that upstream shows for it."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason, self.message = reason, message


@dataclass(frozen=True, slots=True)
class Resources:
    """cgroup limits; 0 means none. `cpu_shares` as in cgroup v1 (v2 weights are derived)."""

    cpu_shares: int = 2
    cpu_quota_us: int = 0
    cpu_period_us: int = 100_000
    memory_bytes: int = 0
    pids: int = 0
    oom_score_adj: int = 1000
    huge_pages: Mapping[str, int] = field(default_factory=dict)
    """Bytes by page size as the kernel names it (`2MB`); of sizes not named there is no limit."""


@dataclass(frozen=True, slots=True)
class SandboxSpec:
    """A Pod's shared part. `cgroup` is its path below every hierarchy's root, with a leading slash."""

    uid: str
    namespace: str
    name: str
    hostname: str
    cgroup: str
    host_network: bool = False
    host_ipc: bool = False
    host_pid: bool = False
    share_pid: bool = False
    user_namespace: bool = False
    """Root of the Pod is nobody on the node: its IDs are mapped to a range that no other Pod has."""
    handler: str = ""
    """The OCI runtime of all its containers, as a RuntimeClass names it; "" is the node's own choice."""
    sysctls: Mapping[str, str] = field(default_factory=dict)
    shm_bytes: int = 64 << 20
    resources: Resources | None = None
    """Limits of the Pod as a whole."""


@dataclass(frozen=True, slots=True)
class Sandbox:
    """Paths of the pinned namespaces; empty where the node's own is used."""

    uid: str
    net: str = ""
    ipc: str = ""
    uts: str = ""
    user: str = ""
    first_id: int = 0
    """With a user namespace: the node's uid and gid that are root's in the Pod."""


@dataclass(frozen=True, slots=True)
class Mount:
    """A bind mount into the container."""

    source: str
    target: str
    read_only: bool = False
    recursive: bool = True
    propagation: str = "rprivate"
    recursive_read_only: bool = False
    """With `read_only`: so is what is mounted below."""
    no_exec: bool = False


@dataclass(frozen=True, slots=True)
class Security:
    """The effective securityContext. `uid`/`gid` None: as the image's user says (resolved in the rootfs)."""

    uid: int | None = None
    gid: int | None = None
    groups: Sequence[int] = ()
    strict_groups: bool = False
    """Only `groups`, without those that the image's /etc/group gives the user."""
    privileged: bool = False
    read_only_root: bool = False
    no_new_privileges: bool = False
    add_capabilities: Sequence[str] = ()
    drop_capabilities: Sequence[str] = ()
    seccomp: str = "RuntimeDefault"
    unmasked_proc: bool = False
    apparmor: str = ""
    """The profile's name, which must be loaded; "" for none."""
    selinux: str = ""
    """The process's label; "" for none."""


@dataclass(frozen=True, slots=True)
class ContainerSpec:
    """One attempt at one container.

    `lower_dirs`: unpacked image layers, topmost first. `user`: the image's `User` string.
    `log_path`: where the CRI-format log goes. `labels` come back in `records` for adoption.
    """

    id: str
    sandbox: str
    name: str
    attempt: int
    lower_dirs: Sequence[str]
    argv: Sequence[str]
    env: Mapping[str, str]
    cwd: str
    user: str
    mounts: Sequence[Mount]
    log_path: str
    cgroup: str
    resources: Resources = field(default_factory=Resources)
    security: Security = field(default_factory=Security)
    stdin: bool = False
    stdin_once: bool = False
    tty: bool = False
    stop_signal: str = "SIGTERM"
    pid_of: str = ""
    """The running container whose process namespace it joins; "" for one of its own, or what its Pod says."""
    labels: Mapping[str, str] = field(default_factory=dict)
    handler: str = ""
    """The OCI runtime that holds it, as a RuntimeClass names it; "" is the node's own choice."""


@dataclass(frozen=True, slots=True)
class Exit:
    """How a container ended; 128+n for signal n. `unknown`: nobody saw it."""

    code: int
    finished_at_s: float
    oom: bool = False
    unknown: bool = False


@dataclass(frozen=True, slots=True)
class ProcessUser:
    """Who a container's first process is when it starts, in the container's own numbers."""

    uid: int
    gid: int
    groups: Sequence[int]


@dataclass(frozen=True, slots=True)
class Record:
    """What the runtime knows of a container, also after a restart of this process.

    `gaps`: what was asked for and this node cannot give, a line each, fit for an Event.
    """

    spec: ContainerSpec
    pid: int
    created_at_s: float
    started_at_s: float
    exit: Exit | None
    user: ProcessUser | None = None
    gaps: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Stats:
    """What a container, a Pod or a directory of Pods uses now; 0 for what the host does not count.

    `working_set_bytes` is memory that cannot be dropped at once; `memory_limit_bytes` 0 means none.
    """

    cpu_ns: int
    memory_bytes: int
    working_set_bytes: int
    pids: int
    rss_bytes: int = 0
    page_faults: int = 0
    major_page_faults: int = 0
    memory_limit_bytes: int = 0
    swap_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Features:
    """What this node can do for Pods, beyond what each can.

    `handlers`: the first is the default. `user_namespaces`: those of them that can hold Pods with users of
    their own.
    """

    handlers: Sequence[str] = ("crun",)
    user_namespaces: Sequence[str] = ()
    recursive_read_only: bool = False
    apparmor: bool = False
    selinux: bool = False


PLAIN = Features()


class ExecProcess(Protocol):
    """A command in a container, with pipes or a pty (then `stderr` is None and `stdout` is the pty)."""

    stdin: asyncio.StreamWriter | None
    stdout: asyncio.StreamReader
    stderr: asyncio.StreamReader | None

    @property
    def started(self) -> bool:
        """Once it has ended: whether it ever began. If not, its output says why, and its code is 126."""

    def resize(self, columns: int, rows: int) -> None: ...

    async def wait(self) -> int: ...

    async def kill(self) -> None:
        """Ends the command itself, not only its parent; returns when it is gone."""


class Runtime(Protocol):
    """`on_exit(container_id, exit)` is called on the event loop for every container end, each once.

    Set it before `open`, which finds the ends that nobody saw.
    """

    on_exit: Callable[[str, Exit], None]

    async def open(self) -> None:
        """Probes the host, finds and re-watches what earlier processes left running."""

    async def close(self) -> None:
        """Lets go of everything; containers run on."""

    @property
    def features(self) -> Features:
        """Known once open."""

    def sandboxes(self) -> Sequence[Sandbox]: ...

    def records(self) -> Sequence[Record]:
        """All containers that have not been removed, running or not."""

    async def start_sandbox(self, spec: SandboxSpec) -> Sandbox: ...

    async def remove_sandbox(self, uid: str) -> None:
        """Also removes its containers, mounts and cgroups."""

    async def create(self, spec: ContainerSpec) -> None:
        """Prepares the container up to its first instruction. Raises RuntimeFault."""

    async def start(self, container_id: str) -> Record: ...

    def signal(self, container_id: str, signal_number: int) -> None:
        """To the container's first process; no error if it is gone."""

    async def remove(self, container_id: str) -> None:
        """Kills it if it runs; unmounts its root; its log file stays."""

    async def exec(
        self,
        container_id: str,
        argv: Sequence[str],
        *,
        stdin: bool = False,
        tty: bool = False,
    ) -> ExecProcess: ...

    async def attach(self, container_id: str) -> ExecProcess:
        """Streams of the container's first process, from now on; `wait` ends with the container."""

    def reopen_log(self, container_id: str) -> None: ...

    async def set_resources(self, container_id: str, resources: Resources) -> None: ...

    async def set_sandbox_resources(self, uid: str, resources: Resources) -> None:
        """Limits of the Pod as a whole. Raises RuntimeFault("ResizeError")."""

    async def set_tier(self, path: str, resources: Resources) -> None:
        """Weight and limits of a directory above Pods, whenever it exists: it comes and goes with them."""

    def stats(self, container_id: str) -> Stats:
        """Raises RuntimeFault("StatsError") if there is no such container."""

    def sandbox_stats(self, uid: str) -> Stats:
        """All containers of the Pod together. Raises RuntimeFault("StatsError")."""

    def tier_stats(self, path: str) -> Stats:
        """Of a directory above Pods; zeroes if there is none."""
