from __future__ import annotations

from pathlib import Path

import pytest

from sampan.kubelet.runtime.cgroup import Cgroups, Layout, Setting, layout, settings, weight
from sampan.kubelet.runtime.contract import Resources
from sampan.kubelet.runtime.mounts import MountPoint


@pytest.mark.parametrize(
    ("shares", "expected"), [(0, 1), (2, 1), (1024, 39), (262144, 10000), (1 << 20, 10000)]
)
def test_shares_become_a_weight(shares: int, expected: int) -> None:
    assert weight(shares) == expected


RESOURCES = Resources(cpu_shares=1024, cpu_quota_us=50_000, memory_bytes=1 << 20, pids=10)


def test_limits_on_v1() -> None:
    assert settings(RESOURCES, unified=False) == [
        Setting("cpu", "cpu.shares", "1024"),
        Setting("cpu", "cpu.cfs_period_us", "100000"),
        Setting("cpu", "cpu.cfs_quota_us", "50000"),
        Setting("memory", "memory.limit_in_bytes", str(1 << 20)),
        Setting("pids", "pids.max", "10"),
    ]


def test_limits_on_v2() -> None:
    assert [(s.file, s.value) for s in settings(RESOURCES, unified=True)] == [
        ("cpu.weight", "39"),
        ("cpu.max", "50000 100000"),
        ("memory.max", str(1 << 20)),
        ("pids.max", "10"),
    ]
    assert [s.value for s in settings(Resources(), unified=True)] == ["1", "max 100000", "max", "max"]


def point(target: str, kind: str, options: str) -> MountPoint:
    return MountPoint(target, kind, "cgroup", False, "rw", options)


def test_hierarchies_are_found() -> None:
    found = layout(
        [
            point("/", "ext4", "rw"),
            point("/sys/fs/cgroup/cpu,cpuacct", "cgroup", "rw,cpu,cpuacct"),
            point("/sys/fs/cgroup/systemd", "cgroup", "rw,name=systemd"),
        ]
    )
    assert found.hierarchies == ("/sys/fs/cgroup/cpu,cpuacct", "/sys/fs/cgroup/systemd")
    assert found.by_controller == dict.fromkeys(("cpu", "cpuacct"), "/sys/fs/cgroup/cpu,cpuacct")
    assert not found.unified
    unified = layout([point("/sys/fs/cgroup", "cgroup2", "rw")])
    assert unified == Layout(("/sys/fs/cgroup",), {}, unified=True)


def fake(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


def test_usage_on_v2(tmp_path: Path) -> None:
    files = {"cpu.stat": "usage_usec 7\nuser_usec 1\n", "memory.current": "100\n", "pids.current": "3\n"}
    fake(tmp_path / "pod", files | {"memory.stat": "anon 5\ninactive_file 40\n"})
    stats = Cgroups(Layout((str(tmp_path),), {}, unified=True)).stats("/pod")
    assert (stats.cpu_ns, stats.memory_bytes, stats.working_set_bytes, stats.pids) == (7000, 100, 60, 3)


def test_usage_on_v1_without_some_controllers(tmp_path: Path) -> None:
    fake(tmp_path / "memory/pod", {"memory.usage_in_bytes": "9\n", "memory.stat": "total_inactive_file 4\n"})
    cgroups = Cgroups(Layout((f"{tmp_path}/memory",), {"memory": f"{tmp_path}/memory"}, unified=False))
    stats = cgroups.stats("/pod")
    assert (stats.cpu_ns, stats.memory_bytes, stats.working_set_bytes, stats.pids) == (0, 9, 5, 0)


def test_on_v2_every_level_hands_its_controllers_down(tmp_path: Path) -> None:
    for level in (".", "a", "a/b"):
        fake(tmp_path / level, {"cgroup.controllers": "cpuset cpu memory pids io\n"})
    fake(tmp_path / "a/b", {"memory.max": "max"})
    Cgroups(Layout((str(tmp_path),), {}, unified=True)).make("/a/b", Resources(memory_bytes=7))
    enabled = "+cpu +cpuset +memory +pids"
    assert (tmp_path / "cgroup.subtree_control").read_text() == enabled
    assert (tmp_path / "a/cgroup.subtree_control").read_text() == enabled
    assert (tmp_path / "a/b/memory.max").read_text() == "7"


def test_removal_goes_bottom_up_and_twice(tmp_path: Path) -> None:
    for hierarchy in ("cpu", "memory"):
        (tmp_path / hierarchy / "pod" / "c1").mkdir(parents=True)
    roots = (f"{tmp_path}/cpu", f"{tmp_path}/memory")
    cgroups = Cgroups(Layout(roots, {}, unified=False))
    cgroups.remove("/pod")
    cgroups.remove("/pod")
    assert [path.name for root in roots for path in Path(root).iterdir()] == []


def test_the_least_weight_is_written_too(tmp_path: Path) -> None:
    """The kernel gives a new cgroup 1024 shares: a Pod that asked for nothing must not have as much."""
    made = Cgroups(Layout((str(tmp_path),), {"cpu": str(tmp_path), "memory": str(tmp_path)}, unified=False))
    made.make("/pods/podu", Resources())
    assert (tmp_path / "pods/podu/cpu.shares").read_text() == "2"
    assert not (tmp_path / "pods/podu/memory.limit_in_bytes").exists()


def test_a_tier_keeps_its_weight_when_it_is_made_again(tmp_path: Path) -> None:
    """It goes with its last Pod and comes back with the next; in between there is nothing to write to."""
    cpu, memory = tmp_path / "cpu", tmp_path / "memory"
    cpu.mkdir()
    memory.mkdir()
    both = {"cpu": str(cpu), "memory": str(memory)}
    cgroups = Cgroups(Layout(tuple(both.values()), both, unified=False))
    cgroups.set_tier("/kubepods/besteffort", Resources(cpu_shares=2, memory_bytes=1 << 30))
    assert not (cpu / "kubepods").exists()
    cgroups.make("/kubepods/besteffort/pod1", Resources(cpu_shares=512, memory_bytes=1 << 20))
    assert (cpu / "kubepods/besteffort/cpu.shares").read_text() == "2"
    assert (memory / "kubepods/besteffort/memory.limit_in_bytes").read_text() == str(1 << 30)
    assert not (memory / "kubepods/besteffort/cpu.shares").exists()
    assert not (cpu / "kubepods/cpu.shares").exists()
    assert (cpu / "kubepods/besteffort/pod1/cpu.shares").read_text() == "512"
    cgroups.set_tier("/kubepods/besteffort", Resources(cpu_shares=3))
    assert (cpu / "kubepods/besteffort/cpu.shares").read_text() == "3"
    assert (memory / "kubepods/besteffort/memory.limit_in_bytes").read_text() == "-1"


def test_huge_pages_have_files_of_their_own() -> None:
    found = Resources(huge_pages={"2MB": 4 << 20})
    assert settings(found, unified=False)[-1] == Setting("hugetlb", "hugetlb.2MB.limit_in_bytes", "4194304")
    assert settings(found, unified=True)[-1] == Setting("hugetlb", "hugetlb.2MB.max", "4194304")


def test_tiers_and_pods_on_v2(tmp_path: Path) -> None:
    (tmp_path / "cgroup.controllers").write_text("cpu io memory pids\n")
    cgroups = Cgroups(Layout((str(tmp_path),), {}, unified=True))
    cgroups.set_tier("/kubepods", Resources(cpu_shares=2048, memory_bytes=1 << 30))
    cgroups.make("/kubepods/pod1", Resources(cpu_shares=1024, cpu_quota_us=5000, memory_bytes=1 << 20))
    assert (tmp_path / "cgroup.subtree_control").read_text() == "+cpu +memory +pids"
    tier, pod = tmp_path / "kubepods", tmp_path / "kubepods/pod1"
    assert ((tier / "cpu.weight").read_text(), (tier / "memory.max").read_text()) == ("79", str(1 << 30))
    assert (pod / "cpu.weight").read_text() == "39"
    assert (pod / "cpu.max").read_text() == "5000 100000"
    assert (pod / "memory.max").read_text() == str(1 << 20)
    assert not (pod / "pids.max").exists(), "a limit that is none is not written"
    cgroups.update("/kubepods/pod1", Resources(cpu_shares=1024, memory_bytes=2 << 20))
    assert ((pod / "cpu.max").read_text(), (pod / "memory.max").read_text()) == ("max 100000", str(2 << 20))
    (pod / "memory.current").write_text("77\n")
    assert cgroups.stats("/kubepods/pod1").memory_bytes == 77
    assert cgroups.members("/kubepods") == set()
