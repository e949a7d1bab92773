"""What this machine can do, looked up once when the runtime opens."""

from __future__ import annotations

import os
import platform
import resource
import shutil
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from sampan.kubelet.runtime import capabilities, cgroup, mounts
from sampan.kubelet.runtime.spec import Device

# Tool -> the Debian package that has it.
TOOLS: Mapping[str, str] = {
    "crun": "crun",
    "conmon": "conmon",
}
OPTIONAL_TOOLS: Mapping[str, str] = {"runc": "runc", "catatonit": "catatonit"}

_OWN_DIRECTORIES = ("pts", "shm", "mqueue", "fd", "hugepages")
_OWN_DEVICES = tuple(
    f"/dev/{name}" for name in ["console", "full", "null", "ptmx", "random", "tty", "urandom", "zero"]
)

SECCOMP_PROFILE = Path("/usr/share/containers/seccomp.json")
SECCOMP_PACKAGE = "golang-github-containers-common"


@dataclass(frozen=True, slots=True)
class Host:
    """`tools`: name -> absolute path. `min_oom_score_adj`: the lowest we may give to a container."""

    tools: Mapping[str, str]
    layout: cgroup.Layout
    bounding: frozenset[str]
    min_oom_score_adj: int
    max_open_files: int
    machine: str
    kernel: str
    seccomp_profile: Mapping[str, Any] | None = field(repr=False)
    apparmor: bool = False
    selinux: bool = False
    user_namespaces: bool = False

    @property
    def missing(self) -> Mapping[str, str]:
        """Tools without which no container runs -> their packages."""
        lacking = {tool: package for tool, package in TOOLS.items() if tool not in self.tools}
        if "runc" in self.tools:
            lacking.pop("crun", None)  # it does the same, slower
        return lacking

    @property
    def gaps(self) -> tuple[str, ...]:
        """What containers will not have on this node, for the log and the node's status."""
        found = []
        if self.seccomp_profile is None:
            found.append(f"no seccomp default profile: {SECCOMP_PROFILE} ({SECCOMP_PACKAGE}) is missing")
        if self.apparmor:
            found.append("AppArmor profile RuntimeDefault is none here: containers run with what they name")
        else:
            found.append("no AppArmor in this kernel: Pods that name a profile are refused")
        if not self.selinux:
            found.append("no SELinux in this kernel: containers that ask for a context are refused")
        if not self.user_namespaces:
            found.append("no user namespaces on this machine: Pods with hostUsers: false are refused")
        if "catatonit" not in self.tools:
            found.append("no catatonit: shareProcessNamespace is refused (package catatonit)")
        lacking = sorted(set(capabilities.NAMES) - self.bounding)
        if lacking:
            found.append(f"this node cannot grant {', '.join(lacking)}")
        if not self.layout.unified:
            absent = {"cpu", "memory", "pids"} - set(self.layout.by_controller)
            found += [f"no {name} cgroup: such limits are not applied" for name in sorted(absent)]
        return tuple(found)


def probe() -> Host:
    """Blocking; about a millisecond."""
    bounding = capabilities.bounding_set()
    wanted = {**TOOLS, **OPTIONAL_TOOLS}
    # A daemon's PATH may lack the sbin directories.
    path = os.environ.get("PATH", os.defpath) + ":/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin"
    own_score = int(Path("/proc/self/oom_score_adj").read_text())
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    profile = SECCOMP_PROFILE.read_bytes() if SECCOMP_PROFILE.exists() else b""
    return Host(
        tools={tool: found for tool in wanted if (found := shutil.which(tool, path=path))},
        layout=cgroup.layout(mounts.table()),
        bounding=bounding,
        min_oom_score_adj=-1000 if "CAP_SYS_RESOURCE" in bounding else own_score,
        max_open_files=1 << 20 if hard == resource.RLIM_INFINITY else min(hard, 1 << 20),
        machine=platform.machine(),
        kernel=platform.release(),
        seccomp_profile=orjson.loads(profile) if profile else None,
        apparmor=_says(Path("/sys/module/apparmor/parameters/enabled"), "Y"),
        selinux=Path("/sys/fs/selinux/enforce").exists(),
        user_namespaces=not _says(Path("/proc/sys/user/max_user_namespaces"), "0")
        and Path("/proc/self/ns/user").exists(),
    )


def _says(path: Path, word: str) -> bool:
    try:
        return path.read_text().strip() == word
    except FileNotFoundError:
        return False


def devices() -> list[Device]:
    """The host's device nodes, for privileged containers. What a container has of its own is left out."""
    found: list[Device] = []
    for directory, subdirectories, names in os.walk("/dev"):
        if directory == "/dev":
            subdirectories[:] = [name for name in subdirectories if name not in _OWN_DIRECTORIES]
        for name in names:
            path = f"{directory}/{name}"
            info = os.lstat(path)
            kind = "c" if stat.S_ISCHR(info.st_mode) else "b" if stat.S_ISBLK(info.st_mode) else ""
            if kind and path not in _OWN_DEVICES:
                number = info.st_rdev
                mode = stat.S_IMODE(info.st_mode)
                found.append(
                    Device(path, kind, os.major(number), os.minor(number), mode, info.st_uid, info.st_gid)
                )
    return sorted(found, key=lambda device: device.path)
