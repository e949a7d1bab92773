from __future__ import annotations

import base64
from pathlib import Path

import orjson
import pytest

from sampan.kubelet.runtime.cgroup import Layout
from sampan.kubelet.runtime.contract import RuntimeFault, Security
from sampan.kubelet.runtime.filters import Filters
from sampan.kubelet.runtime.host import Host

PROFILE = {
    "defaultAction": "SCMP_ACT_ERRNO",
    "syscalls": [
        {"names": ["read"], "action": "SCMP_ACT_ALLOW"},
        {"names": ["mount"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_SYS_ADMIN"]}},
    ],
}


@pytest.fixture
def filters(tmp_path: Path) -> Filters:
    for name in ("compiled", "crun", "profiles"):
        (tmp_path / name).mkdir()
    host = Host({}, Layout((), {}, unified=False), frozenset(), 0, 1024, "x86_64", "6.1", PROFILE)
    return Filters(tmp_path / "compiled", tmp_path / "crun", tmp_path / "profiles", host)


@pytest.mark.parametrize(
    "security", [Security(privileged=True), Security(seccomp="Unconfined"), Security(seccomp="")]
)
def test_who_runs_without_a_filter(filters: Filters, security: Security) -> None:
    assert filters.choose(security, set()) is None


def test_the_default_follows_the_capabilities(filters: Filters) -> None:
    def allowed(granted: set[str]) -> list[str]:
        found = filters.choose(Security(), granted)
        assert found is not None
        return [name for rule in found.section["syscalls"] for name in rule["names"]]

    assert allowed(set()) == ["read"]
    assert allowed({"CAP_SYS_ADMIN"}) == ["read", "mount"]


def test_a_filter_is_compiled_once(filters: Filters, tmp_path: Path) -> None:
    first = filters.choose(Security(), set())
    assert first is not None and first.compiled == ""
    (tmp_path / "crun" / "c1").mkdir()
    (tmp_path / "crun" / "c1" / "seccomp.bpf").write_bytes(b"bpf")
    filters.learn("c1", first)
    again = filters.choose(Security(), set())
    assert again is not None and base64.b64decode(again.compiled) == b"bpf"
    other = filters.choose(Security(), {"CAP_SYS_ADMIN"})
    assert other is not None and other.compiled == ""


def test_profiles_of_the_nodes_own(filters: Filters, tmp_path: Path) -> None:
    (tmp_path / "profiles" / "team").mkdir()
    (tmp_path / "profiles" / "team" / "a.json").write_bytes(orjson.dumps({"defaultAction": "SCMP_ACT_LOG"}))
    found = filters.choose(Security(seccomp="Localhost/team/a.json"), set())
    assert found is not None and found.section == {"defaultAction": "SCMP_ACT_LOG"}


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("none.json", None, "No such file or directory"),
        ("../secret.json", None, "it must lie below"),
        ("/etc/passwd", None, "it must lie below"),
        ("bad.json", "{", "unexpected end of data"),
        ("list.json", "[]", "it has no defaultAction"),
        ("empty.json", "{}", "it has no defaultAction"),
    ],
)
def test_a_profile_that_is_none(
    filters: Filters, tmp_path: Path, name: str, text: str | None, why: str
) -> None:
    (tmp_path / "secret.json").write_text('{"defaultAction": "SCMP_ACT_ALLOW"}')
    if text is not None:
        (tmp_path / "profiles" / name).write_text(text)
    with pytest.raises(RuntimeFault, match=why) as caught:
        filters.choose(Security(seccomp=f"Localhost/{name}"), set())
    assert caught.value.reason == "CreateContainerError"
    assert f'cannot load seccomp profile "Localhost/{name}"' in caught.value.message
