from __future__ import annotations

from pathlib import Path

from sampan.kubelet.runtime import state
from sampan.kubelet.runtime.contract import (
    ContainerSpec,
    Exit,
    Mount,
    Resources,
    Sandbox,
    SandboxSpec,
    Security,
)
from sampan.kubelet.runtime.process import ProcessId
from sampan.kubelet.runtime.state import ContainerState, SandboxState

SPEC = ContainerSpec(
    id="c1",
    sandbox="u1",
    name="web",
    attempt=2,
    lower_dirs=("/l/1", "/l/2"),
    argv=("a", "b"),
    env={"A": "b"},
    cwd="/",
    user="x",
    mounts=(Mount("/a", "/b", True),),
    log_path="/log",
    cgroup="/cg",
    resources=Resources(memory_bytes=5),
    security=Security(uid=3, groups=(1, 2), add_capabilities=("KILL",)),
    labels={"k": "v"},
)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "container.json"
    for written in (
        ContainerState(SPEC),
        ContainerState(SPEC, ProcessId(7, 8), ProcessId(9, 10), 1.5, 2.5, Exit(137, 3.5, oom=True)),
    ):
        state.write(path, written)
        assert state.read_container(path) == written
    pod = SandboxState(SandboxSpec("u1", "d", "n", "h", "/cg", sysctls={"a": "b"}, resources=Resources(7)))
    for sandbox in (None, Sandbox("u1", net="/n")):
        pod.sandbox = sandbox
        state.write(path, pod)
        assert state.read_sandbox(path) == pod


def test_torn_and_foreign_files_are_nothing(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    assert state.read_container(path) is None
    for text in ("", "{", "[]", "{}", "null", '{"spec": 5}', '{"spec": {"id": "x"}}', "\0" * 9):
        path.write_text(text)
        assert state.read_container(path) is state.read_sandbox(path) is None


def test_fields_of_another_version_are_ignored(tmp_path: Path) -> None:
    path = tmp_path / "container.json"
    state.write(path, ContainerState(SPEC))
    path.write_text(path.read_text().replace('"attempt":2', '"attempt":2,"future":[1]'))
    found = state.read_container(path)
    assert found is not None
    assert found.spec == SPEC
