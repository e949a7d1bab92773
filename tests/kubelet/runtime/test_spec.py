"""What a container is told to be: the whole document once, then what each wish changes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from sampan.kubelet.runtime.contract import ContainerSpec, Mount, Resources, Security
from sampan.kubelet.runtime.spec import Device, Filter, Limits, Place, config
from sampan.kubelet.runtime.users import User

SPEC = ContainerSpec(
    id="c1",
    sandbox="u1",
    name="web",
    attempt=0,
    lower_dirs=("/l/a",),
    argv=("nginx", "-g", "daemon off;"),
    env={"A": "b"},
    cwd="/srv",
    user="",
    mounts=(),
    log_path="/log",
    cgroup="/kubepods/podu1/c1",
)
PLACE = Place(
    rootfs="/c1/rootfs",
    shm="/u1/shm",
    cgroup="/kubepods/podu1/c1",
    net="/u1/net",
    ipc="/u1/ipc",
    uts="/u1/uts",
    pid="",
    hostname="web-0",
)
ALICE = User(1000, 1001, (50, 60), "/home/alice")
LIMITS = Limits(
    bounding=frozenset({"CAP_CHOWN", "CAP_KILL", "CAP_NET_ADMIN"}),
    min_oom_score_adj=-100,
    max_open_files=1024,
    unified=False,
)


def build(place: Place = PLACE, limits: Limits = LIMITS, **changes: Any) -> dict[str, Any]:
    return config(replace(SPEC, **changes), place, ALICE, limits, None)


def test_the_whole_document() -> None:
    granted = ["CAP_CHOWN", "CAP_KILL"]
    assert build() == {
        "ociVersion": "1.0.0",
        "root": {"path": "/c1/rootfs", "readonly": False},
        "process": {
            "terminal": False,
            "user": {"uid": 1000, "gid": 1001, "additionalGids": [50, 60]},
            "args": ["nginx", "-g", "daemon off;"],
            "env": [
                "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                "HOSTNAME=web-0",
                "HOME=/home/alice",
                "A=b",
            ],
            "cwd": "/srv",
            "capabilities": {"bounding": granted, "effective": granted, "permitted": granted},
            "noNewPrivileges": False,
            "oomScoreAdj": 1000,
            "rlimits": [{"type": "RLIMIT_NOFILE", "soft": 1024, "hard": 1024}],
        },
        "mounts": [
            _mount("proc", "proc", "/proc", "nosuid", "noexec", "nodev"),
            _mount("tmpfs", "tmpfs", "/dev", "nosuid", "strictatime", "mode=755", "size=65536k"),
            _mount("devpts", "devpts", "/dev/pts", "nosuid", "noexec", "newinstance", "ptmxmode=0666",
                   "mode=0620", "gid=5"),
            _mount("mqueue", "mqueue", "/dev/mqueue", "nosuid", "noexec", "nodev"),
            _mount("sysfs", "sysfs", "/sys", "nosuid", "noexec", "nodev", "ro"),
            _mount("cgroup", "cgroup", "/sys/fs/cgroup", "nosuid", "noexec", "nodev", "relatime", "ro"),
            _mount("bind", "/u1/shm", "/dev/shm", "bind", "nosuid", "noexec", "nodev", "rw"),
        ],
        "linux": {
            "namespaces": [
                {"type": "mount"},
                {"type": "pid"},
                {"type": "network", "path": "/u1/net"},
                {"type": "ipc", "path": "/u1/ipc"},
                {"type": "uts", "path": "/u1/uts"},
            ],
            "cgroupsPath": "/kubepods/podu1/c1",
            "resources": {"cpu": {"shares": 2}, "devices": [{"allow": False, "access": "rwm"}]},
            "maskedPaths": [
                "/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys",
                "/proc/latency_stats", "/proc/sched_debug", "/proc/scsi", "/proc/timer_list",
                "/proc/timer_stats", "/sys/devices/virtual/powercap", "/sys/firmware",
            ],
            "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
        },
        "annotations": {},
    }  # fmt: skip


def _mount(kind: str, source: str, destination: str, *options: str) -> dict[str, Any]:
    return {"type": kind, "source": source, "destination": destination, "options": list(options)}


def test_limits_that_are_set() -> None:
    resources = Resources(512, 20_000, 100_000, 1 << 20, 99, -998)
    document = build(resources=resources)
    assert document["linux"]["resources"] == {
        "cpu": {"shares": 512, "quota": 20_000, "period": 100_000},
        "devices": [{"allow": False, "access": "rwm"}],
        "memory": {"limit": 1 << 20},
        "pids": {"limit": 99},
    }
    # Lower than the node's own is refused by the kernel.
    assert document["process"]["oomScoreAdj"] == -100


def test_privileged() -> None:
    device = Device("/dev/fuse", "c", 10, 229, 0o666, 0, 0)
    spec = replace(SPEC, security=Security(privileged=True))
    document = config(spec, PLACE, ALICE, LIMITS, None, [device])
    linux = document["linux"]
    assert linux["maskedPaths"] == linux["readonlyPaths"] == []
    assert linux["resources"]["devices"] == [{"allow": True, "access": "rwm"}]
    assert [entry["path"] for entry in linux["devices"]] == ["/dev/fuse"]
    assert document["process"]["capabilities"]["bounding"] == sorted(LIMITS.bounding)
    options = {mount["destination"]: mount["options"] for mount in document["mounts"]}
    assert options["/sys"][-1] == options["/sys/fs/cgroup"][-1] == "rw"


def test_inner_mounts_come_after_outer_ones_and_replace_the_defaults() -> None:
    mounts = (
        Mount("/b", "/data/deep/inner"),
        Mount("/a", "/data", read_only=True, propagation="rslave"),
        Mount("/s", "/dev/shm/"),
    )
    document = build(mounts=mounts)
    found = [(m["source"], m["options"]) for m in document["mounts"]][6:]
    assert found == [
        ("/a", ["rbind", "rslave", "ro"]),
        ("/s", ["rbind", "rprivate", "rw"]),
        ("/b", ["rbind", "rprivate", "rw"]),
    ]
    assert document["linux"]["rootfsPropagation"] == "slave"


@pytest.mark.parametrize(
    ("place", "kinds"),
    [
        ({"net": None}, ["mount", "pid", "ipc", "uts"]),
        ({"pid": None, "ipc": None, "uts": None}, ["mount", "network"]),
        ({"pid": "/proc/7/ns/pid"}, ["mount", "pid", "network", "ipc", "uts"]),
    ],
)
def test_namespaces_of_the_host_are_not_in_the_list(place: dict[str, Any], kinds: list[str]) -> None:
    document = build(place=replace(PLACE, **place))
    assert [entry["type"] for entry in document["linux"]["namespaces"]] == kinds


def test_a_unified_host_gives_a_cgroup_namespace() -> None:
    document = build(limits=replace(LIMITS, unified=True))
    assert {"type": "cgroup"} in document["linux"]["namespaces"]


def test_a_compiled_filter_is_reused() -> None:
    section = {"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [1]}
    assert config(SPEC, PLACE, ALICE, LIMITS, Filter(section))["linux"]["seccomp"] == section
    document = config(SPEC, PLACE, ALICE, LIMITS, Filter(section, "QUJD"))
    assert document["linux"]["seccomp"] == {"defaultAction": "SCMP_ACT_ERRNO"}
    assert document["annotations"] == {"run.oci.seccomp_bpf_data": "QUJD"}


def test_the_spec_overrides_the_environment_and_a_terminal_adds_to_it() -> None:
    env = build(tty=True, env={"PATH": "/x", "HOME": "/h"}, cwd="rel")["process"]["env"]
    assert env == ["PATH=/x", "HOSTNAME=web-0", "HOME=/h", "TERM=xterm"]
    assert build(cwd="rel")["process"]["cwd"] == "/rel"
