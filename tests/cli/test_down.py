"""The process is ended, by force if it must be; nothing that is not ours is touched."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sampan.cli import cluster as clusters
from sampan.cli import down, main
from sampan.cli.cluster import Choices, Cluster

HOLD = """
import fcntl, os, signal, sys, time
lock = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
fcntl.flock(lock, fcntl.LOCK_EX)
os.write(lock, str(os.getpid()).encode())
signal.signal(signal.SIGTERM, signal.SIG_IGN if sys.argv[2] == "stubborn" else lambda *_: sys.exit(0))
print("up", flush=True)
time.sleep(60)
"""

Start = Callable[[str], subprocess.Popen[str]]


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    made = Cluster("one", tmp_path)
    made.keep(Choices(api_port=1, node_name="one"))
    return made


@pytest.fixture
def start(cluster: Cluster) -> Iterator[Start]:
    """A process that holds the cluster's lock and takes SIGTERM so or so."""
    begun: list[subprocess.Popen[str]] = []

    def begin(manner: str) -> subprocess.Popen[str]:
        argv = [sys.executable, "-S", "-c", HOLD, str(cluster.data / "lock"), manner]
        process = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
        begun.append(process)
        assert process.stdout is not None and process.stdout.readline() == "up\n"
        return process

    yield begin
    for process in begun:
        process.kill()
        process.wait()


def test_a_process_may_end_by_itself(cluster: Cluster, start: Start) -> None:
    process = start("willing")
    assert cluster.running_pid() == process.pid
    down._stop(cluster)
    assert process.wait(30) == 0
    assert cluster.running_pid() is None


def test_one_that_does_not_is_killed(cluster: Cluster, start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(down, "STOP_TIMEOUT_S", 0.05)
    process = start("stubborn")
    down._stop(cluster)
    assert process.wait(30) == -9


def test_a_pid_that_nobody_holds_the_lock_with_is_left_alone(cluster: Cluster, start: Start) -> None:
    process = start("willing")
    (cluster.data / "lock").rename(cluster.data / "old-lock")
    (cluster.data / "lock").write_text(f"{process.pid}\n")
    down._stop(cluster)
    assert process.poll() is None


def test_a_cluster_that_is_not_there_is_said_not_to_be(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.main(["down", "--name", "one", "--data-dir", str(tmp_path / "none")]) == 1
    assert capsys.readouterr().err == f"sampan: there is no cluster 'one' in {tmp_path / 'none'}\n"


def test_down_needs_root_and_changes_nothing_without(
    cluster: Cluster, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert main.main(["down", "--name", "one", "--data-dir", str(cluster.data)]) == 1
    assert "sampan down needs root" in capsys.readouterr().err
    assert [path.name for path in cluster.data.iterdir()] == ["cluster.json"]


@pytest.mark.parametrize(("arguments", "left"), [([], False), (["--keep-data"], True)])
def test_the_context_goes_and_the_data_too_unless_it_is_to_be_kept(
    cluster: Cluster, arguments: list[str], left: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    removed: list[object] = []

    async def clear(of: Cluster) -> None:
        removed.append(of)

    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(down, "_clear", clear)
    monkeypatch.setattr(down.kubeconfig, "remove_context", lambda path, name: removed.append((path, name)))
    where = ["--name", "one", "--data-dir", str(cluster.data), "--kubeconfig", "/x/config"]
    assert main.main(["down", *where, *arguments]) == 0
    assert removed == [cluster, (Path("/x/config"), "sampan-one")]
    assert cluster.data.exists() is left


@pytest.mark.parametrize("after", range(6))
def test_killed_while_it_removes_it_can_be_called_again(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    (cluster.data / "store.db").touch()
    (cluster.data / "store.db-wal").touch()
    (cluster.data / "lock").touch()
    (cluster.data / "pods" / "uid").mkdir(parents=True)
    removed: list[str] = []
    for kind, name in ((Path, "unlink"), (down.shutil, "rmtree")):
        real = getattr(kind, name)

        def dies(path: Path, real: Callable[..., None] = real, **words: bool) -> None:
            if len(removed) == after:
                raise KeyboardInterrupt
            removed.append(path.name)
            real(path, **words)

        monkeypatch.setattr(kind, name, dies)
    if after < 5:
        with pytest.raises(KeyboardInterrupt):
            down.remove(cluster)
        clusters.check_place(cluster)
        assert not (cluster.data / "store.db").exists() or removed in ([], ["store.db-wal"])
        monkeypatch.undo()
    down.remove(cluster)
    assert not cluster.data.exists()
