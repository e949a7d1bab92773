"""Limits of local disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sampan.api.objects import Obj
from sampan.kubelet.eviction.localstorage import LocalUsage, breach, container_usage, is_limited
from sampan.kubelet.volumes.usage import Usage

MIB = 1 << 20


def pod(*limits: str, **empty_dir: Any) -> Obj:
    containers = [
        {"name": name, "resources": {"limits": {"ephemeral-storage": limit}} if limit else {}}
        for name, limit in zip("abc", limits, strict=False)
    ]
    volumes = [{"name": "v", "emptyDir": empty_dir}] if empty_dir else []
    return {"metadata": {"name": "p", "uid": "u"}, "spec": {"containers": containers, "volumes": volumes}}


def used(volume: int = 0, **containers: int) -> LocalUsage:
    return LocalUsage(
        {name: Usage(mib * MIB) for name, mib in containers.items()}, {"v": Usage(volume * MIB)}
    )


def test_who_is_looked_at() -> None:
    assert not is_limited(pod("")) and not is_limited(pod("", medium="Memory", sizeLimit="1Mi"))
    assert is_limited(pod("", "1Mi")) and is_limited(pod("", sizeLimit="1Mi"))


def test_a_volume() -> None:
    limited = pod("", sizeLimit="10Mi")
    assert breach(limited, used(10)) == ""
    assert breach(limited, used(11)) == 'Usage of EmptyDir volume "v" exceeds the limit "10Mi". '


def test_a_container() -> None:
    limited = pod("10Mi", "")
    assert breach(limited, used(50, a=10, b=50)) == "", "volumes and others' files are not its own"
    words = 'Container a exceeded its local ephemeral storage limit "10Mi". '
    assert breach(limited, used(a=11)) == words


def test_a_pod_as_a_whole() -> None:
    words = "Pod ephemeral local storage usage exceeds the total limit of containers {}. "
    assert breach(pod("10Mi"), used(8, a=3)) == words.format("10Mi")
    assert breach(pod("10Mi", "10Mi"), used(15, a=3, b=3)) == words.format(20 * MIB)


def test_logs_and_what_was_written_count(tmp_path: Path) -> None:
    log, written = tmp_path / "pods/u/a/0.log", tmp_path / "containers/1/upper/file"
    for path in (log, written):
        path.parent.mkdir(parents=True)
        path.write_bytes(b"x" * 4096)
    found = container_usage(tmp_path / "pods", tmp_path / "containers", pod(""), {"a": ["1", "gone"]})
    assert found["a"].bytes >= 8192 and found["a"].inodes == 4
