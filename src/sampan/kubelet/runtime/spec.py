"""A container's specification as the OCI runtime wants it (config.json, runtime-spec 1.0). Pure.

What is decided here: process and user, capabilities, namespaces, mounts in their order, masked paths,
devices, cgroup and limits, seccomp. What needs the disk (passwd lookup, device list) comes in as a value.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from sampan.kubelet.runtime import capabilities
from sampan.kubelet.runtime.cgroup import MIN_SHARES
from sampan.kubelet.runtime.contract import ContainerSpec, Mount, Resources
from sampan.kubelet.runtime.users import User

Json = dict[str, Any]

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

MASKED = (
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
)
READ_ONLY = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")

_PROC = ("proc", "/proc", "proc", ["nosuid", "noexec", "nodev"])
_DEV = ("tmpfs", "/dev", "tmpfs", ["nosuid", "strictatime", "mode=755", "size=65536k"])
_PTS_OPTIONS = ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]
_DEVPTS = ("devpts", "/dev/pts", "devpts", _PTS_OPTIONS)
_MQUEUE = ("mqueue", "/dev/mqueue", "mqueue", ["nosuid", "noexec", "nodev"])
_SYS_OPTIONS = ["nosuid", "noexec", "nodev"]


@dataclass(frozen=True, slots=True)
class Device:
    """A device node of the host, for privileged containers."""

    path: str
    kind: str
    major: int
    minor: int
    mode: int
    uid: int
    gid: int


@dataclass(frozen=True, slots=True)
class Place:
    """Where a container lives. Namespace paths: "" makes a new one, None stays in the host's."""

    rootfs: str
    shm: str
    cgroup: str
    net: str | None
    ipc: str | None
    uts: str | None
    pid: str | None
    user: str | None = None
    hostname: str = ""


@dataclass(frozen=True, slots=True)
class Limits:
    """What the node can give at most."""

    bounding: frozenset[str]
    min_oom_score_adj: int
    max_open_files: int
    unified: bool


@dataclass(frozen=True, slots=True)
class Filter:
    """The seccomp section, and the compiled form if an earlier container left one."""

    section: Json
    compiled: str = ""


def config(
    spec: ContainerSpec,
    place: Place,
    user: User,
    limits: Limits,
    filter: Filter | None,
    devices: Sequence[Device] = (),
) -> Json:
    """config.json of the OCI runtime specification. `devices`: the node's, for who is privileged."""
    security = spec.security
    unmasked = security.privileged or security.unmasked_proc
    linux: Json = {
        "namespaces": _namespaces(place, unified=limits.unified, privileged=security.privileged),
        "cgroupsPath": place.cgroup,
        "resources": _resources(spec.resources, privileged=security.privileged, unified=limits.unified),
        "maskedPaths": [] if unmasked else list(MASKED),
        "readonlyPaths": [] if unmasked else list(READ_ONLY),
    }
    annotations: dict[str, str] = {}
    if security.privileged:
        linux["devices"] = [_device(device) for device in devices]
    if filter is not None and filter.compiled:
        # crun loads the compiled filter and does not look at the section, which must be there all the same.
        linux["seccomp"] = {"defaultAction": filter.section["defaultAction"]}
        annotations["run.oci.seccomp_bpf_data"] = filter.compiled
    elif filter is not None:
        linux["seccomp"] = filter.section
    if any("shared" in mount.propagation for mount in spec.mounts):
        linux["rootfsPropagation"] = "shared"
    elif any("slave" in mount.propagation for mount in spec.mounts):
        linux["rootfsPropagation"] = "slave"
    return {
        "ociVersion": "1.0.0",
        "root": {"path": place.rootfs, "readonly": security.read_only_root},
        "process": process(spec, place, user, limits),
        "mounts": _mounts(spec, place, unified=limits.unified),
        "linux": linux,
        "annotations": annotations,
    }


def process(spec: ContainerSpec, place: Place, user: User, limits: Limits) -> Json:
    """Also the base of every exec: crun's own exec options would run it as root."""
    security = spec.security
    granted, _ = capabilities.effective(
        security.add_capabilities,
        security.drop_capabilities,
        privileged=security.privileged,
        bounding=limits.bounding,
    )
    found: Json = {
        "terminal": spec.tty,
        "user": {"uid": user.uid, "gid": user.gid, "additionalGids": list(user.groups)},
        "args": list(spec.argv),
        "env": [f"{name}={value}" for name, value in environment(spec, place, user).items()],
        "cwd": spec.cwd if spec.cwd.startswith("/") else "/" + spec.cwd,
        # None inheritable or ambient: as upstream, those added for a non-root user are lost on exec.
        "capabilities": dict.fromkeys(("bounding", "effective", "permitted"), granted),
        "noNewPrivileges": security.no_new_privileges,
        "oomScoreAdj": max(spec.resources.oom_score_adj, limits.min_oom_score_adj),
        "rlimits": [{"type": "RLIMIT_NOFILE", "soft": limits.max_open_files, "hard": limits.max_open_files}],
    }
    if security.apparmor:
        found["apparmorProfile"] = security.apparmor
    if security.selinux:
        found["selinuxLabel"] = security.selinux
    return found


def environment(spec: ContainerSpec, place: Place, user: User) -> Mapping[str, str]:
    """What every container has, under what its spec says."""
    base = {"PATH": PATH, "HOSTNAME": place.hostname, "HOME": user.home}
    if spec.tty:
        base["TERM"] = "xterm"
    if not place.hostname:
        del base["HOSTNAME"]
    return {**base, **spec.env}


def _namespaces(place: Place, *, unified: bool, privileged: bool) -> list[Json]:
    joined = {
        "user": place.user,
        "pid": place.pid,
        "network": place.net,
        "ipc": place.ipc,
        "uts": place.uts,
    }
    found: list[Json] = [{"type": "mount"}]
    for kind, path in joined.items():
        if path is not None:
            found.append({"type": kind, "path": path} if path else {"type": kind})
    if unified and not privileged:
        found.append({"type": "cgroup"})
    return found


def _resources(resources: Resources, *, privileged: bool, unified: bool) -> Json:
    cpu: Json = {"shares": max(resources.cpu_shares, MIN_SHARES)}
    if resources.cpu_quota_us:
        cpu |= {"quota": resources.cpu_quota_us, "period": resources.cpu_period_us}
    found: Json = {"cpu": cpu, "devices": [{"allow": privileged, "access": "rwm"}]}
    if resources.memory_bytes:
        found["memory"] = {"limit": resources.memory_bytes}
    if resources.pids:
        found["pids"] = {"limit": resources.pids}
    if resources.huge_pages:
        found["hugepageLimits"] = [
            {"pageSize": size, "limit": count} for size, count in resources.huge_pages.items()
        ]
    if unified:
        # A container that runs out of memory goes as a whole, not one process of it.
        found["unified"] = {"memory.oom.group": "1"}
    return found


def _mounts(spec: ContainerSpec, place: Place, *, unified: bool) -> list[Json]:
    writable = "rw" if spec.security.privileged else "ro"
    found = [
        _system(*_PROC),
        _system(*_DEV),
        _system(*_DEVPTS),
        _system(*_MQUEUE),
        _system("sysfs", "/sys", "sysfs", [*_SYS_OPTIONS, writable]),
        _system("cgroup", "/sys/fs/cgroup", "cgroup", [*_SYS_OPTIONS, "relatime", writable]),
    ]
    own = {_clean(mount.target) for mount in spec.mounts}
    if place.shm:
        found.append(_system("bind", "/dev/shm", place.shm, ["bind", "nosuid", "noexec", "nodev", "rw"]))
    kept = [mount for mount in found if mount["destination"] not in own]
    # A mount inside another one's target must come after it, whatever the order in the spec.
    deeper = sorted(spec.mounts, key=lambda mount: len(PurePosixPath(mount.target).parts))
    return kept + [_bind(mount) for mount in deeper]


def _clean(target: str) -> str:
    return str(PurePosixPath(target))


def _system(kind: str, destination: str, source: str, options: Sequence[str]) -> Json:
    return {"destination": destination, "type": kind, "source": source, "options": list(options)}


def _bind(mount: Mount) -> Json:
    access = ("rro" if mount.recursive_read_only else "ro") if mount.read_only else "rw"
    options = ["rbind" if mount.recursive else "bind", mount.propagation, access]
    if mount.no_exec:
        options.append("noexec")
    return _system("bind", mount.target, mount.source, options)


def _device(device: Device) -> Json:
    return {
        "path": device.path,
        "type": device.kind,
        "major": device.major,
        "minor": device.minor,
        "fileMode": device.mode,
        "uid": device.uid,
        "gid": device.gid,
    }
