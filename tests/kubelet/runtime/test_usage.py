from __future__ import annotations

from pathlib import Path

from sampan.kubelet.runtime import usage
from sampan.kubelet.runtime.contract import Stats

V2 = {
    "cpu.stat": "usage_usec 7\nuser_usec 1\n",
    "memory.current": "100\n",
    "memory.max": "max\n",
    "memory.swap.current": "2\n",
    "memory.stat": "anon 5\nfile 60\ninactive_file 40\npgfault 11\npgmajfault 3\n",
    "memory.events": "low 0\nmax 4\noom 1\noom_kill 2\n",
    "pids.current": "3\n",
}
V1 = {
    "cpuacct/cpuacct.usage": "9000\n",
    "memory/memory.usage_in_bytes": "100\n",
    "memory/memory.limit_in_bytes": "9223372036854771712\n",
    "memory/memory.stat": "total_rss 5\ntotal_inactive_file 130\ntotal_pgfault 11\ntotal_pgmajfault 3\n",
    "memory/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n",
    "pids/pids.current": "3\n",
}


def written(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def test_v2(tmp_path: Path) -> None:
    found = usage.unified(str(written(tmp_path, V2)))
    assert found == Stats(7000, 100, 60, 3, 5, 11, 3, 0, 2)
    assert usage.oom_kills(str(tmp_path), v2=True) == 2
    (tmp_path / "memory.max").write_text("4096\n")
    assert usage.unified(str(tmp_path)).memory_limit_bytes == 4096


def test_v1_has_a_hierarchy_for_each(tmp_path: Path) -> None:
    written(tmp_path, V1)
    memory, pids, cpu = (str(tmp_path / name) for name in ("memory", "pids", "cpuacct"))
    # Pages may be dropped between two reads: the working set is never negative.
    assert usage.split(memory, pids, cpu) == Stats(9000, 100, 0, 3, 5, 11, 3, 0, 0)
    assert usage.oom_kills(memory, v2=False) == 2


def test_a_cgroup_that_is_gone_uses_nothing(tmp_path: Path) -> None:
    nowhere = str(tmp_path / "gone")
    assert usage.unified(nowhere) == usage.split(nowhere, nowhere, nowhere) == Stats(0, 0, 0, 0)
