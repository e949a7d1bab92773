from __future__ import annotations

from typing import Any

from sampan.kubelet.runtime.seccomp import fingerprint, section


def rule(name: str, **conditions: Any) -> dict[str, Any]:
    return {
        "names": [name],
        "action": "SCMP_ACT_ALLOW",
        "args": [],
        "includes": {},
        "excludes": {},
    } | conditions


PROFILE = {
    "defaultAction": "SCMP_ACT_ERRNO",
    "defaultErrnoRet": 38,
    "defaultErrno": "ENOSYS",
    "archMap": [
        {"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86", "SCMP_ARCH_X32"]},
        {"architecture": "SCMP_ARCH_AARCH64", "subArchitectures": ["SCMP_ARCH_ARM"]},
    ],
    "syscalls": [
        rule("read"),
        rule("mount", includes={"caps": ["CAP_SYS_ADMIN"]}),
        rule("mount", excludes={"caps": ["CAP_SYS_ADMIN"]}, action="SCMP_ACT_ERRNO", errnoRet=1),
        rule("arch_prctl", includes={"arches": ["amd64", "x32"]}),
        rule("set_tls", includes={"arches": ["arm64"]}),
        rule("ptrace", includes={"minKernel": "4.8"}),
        rule("future", includes={"minKernel": "99.0"}),
        rule("kcmp", includes={"caps": ["CAP_SYS_PTRACE", "CAP_SYS_ADMIN"]}),
        rule("clone", args=[{"index": 0, "value": 1, "valueTwo": 0, "op": "SCMP_CMP_EQ"}], includes=None),
    ],
}


def names(capabilities: set[str], machine: str = "x86_64") -> list[str]:
    found = section(PROFILE, capabilities, machine, "6.1.0-13-amd64")
    return [f"{entry['names'][0]} {entry['action'][9:]}" for entry in found["syscalls"]]


def test_conditions_are_decided() -> None:
    assert names(set()) == ["read ALLOW", "mount ERRNO", "arch_prctl ALLOW", "ptrace ALLOW", "clone ALLOW"]
    assert names({"CAP_SYS_ADMIN"})[1] == "mount ALLOW"
    assert "kcmp ALLOW" in names({"CAP_SYS_ADMIN", "CAP_SYS_PTRACE"})
    assert "kcmp ALLOW" not in names({"CAP_SYS_PTRACE"})
    assert [name for name in names(set(), "aarch64") if "tls" in name or "arch" in name] == ["set_tls ALLOW"]


def test_the_rest_is_in_oci_form() -> None:
    found = section(PROFILE, set(), "x86_64", "6.1")
    assert found["defaultErrnoRet"] == 38
    assert found["architectures"] == ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"]
    assert found["syscalls"][1] == {"names": ["mount"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1}
    assert found["syscalls"][-1]["args"][0]["op"] == "SCMP_CMP_EQ"
    assert not any("includes" in entry for entry in found["syscalls"])


def test_the_fingerprint_follows_the_rules() -> None:
    one, two = (section(PROFILE, caps, "x86_64", "6.1") for caps in (set[str](), {"CAP_SYS_ADMIN"}))
    assert fingerprint(one) != fingerprint(two)
    assert fingerprint(one) == fingerprint(dict(reversed(one.items())))
