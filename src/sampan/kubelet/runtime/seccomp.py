"""The RuntimeDefault seccomp profile: the distribution's seccomp.json in the form the OCI spec wants.

The source (package golang-github-containers-common) has conditions on capabilities, architectures and kernel
versions; the OCI form has none, so they are decided here. Pure.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence, Set
from typing import Any

import orjson

Section = dict[str, Any]

# Machine names of uname(2) to Go's, which the profile uses, and to libseccomp's.
_GO_ARCHES = {
    "x86_64": "amd64",
    "aarch64": "arm64",
    "riscv64": "riscv64",
    "ppc64le": "ppc64le",
    "s390x": "s390x",
}
_SCMP_ARCHES = {name: f"SCMP_ARCH_{name.upper()}" for name in _GO_ARCHES}


def section(profile: Mapping[str, Any], capabilities: Set[str], machine: str, kernel: str) -> Section:
    """The `linux.seccomp` of a container with these capabilities."""
    arch = _GO_ARCHES.get(machine, machine)
    rules = [
        _rule(entry)
        for entry in profile["syscalls"]
        if _applies(entry.get("includes") or {}, capabilities, arch, kernel, every=True)
        and not _applies(entry.get("excludes") or {}, capabilities, arch, kernel, every=False)
    ]
    found: Section = {
        "defaultAction": profile["defaultAction"],
        "architectures": _architectures(profile.get("archMap") or [], machine),
        "syscalls": rules,
    }
    if profile.get("defaultErrnoRet") is not None:
        found["defaultErrnoRet"] = profile["defaultErrnoRet"]
    return found


def fingerprint(found: Section) -> str:
    """Same text, same compiled filter."""
    return hashlib.sha256(orjson.dumps(found, option=orjson.OPT_SORT_KEYS)).hexdigest()


def _architectures(table: Sequence[Mapping[str, Any]], machine: str) -> list[str]:
    own = _SCMP_ARCHES.get(machine, "")
    for row in table:
        if row["architecture"] == own:
            return [own, *(row.get("subArchitectures") or [])]
    return [own] if own else []


def _rule(entry: Mapping[str, Any]) -> Section:
    rule: Section = {"names": entry.get("names") or [entry["name"]], "action": entry["action"]}
    if entry.get("args"):
        rule["args"] = entry["args"]
    if entry.get("errnoRet") is not None:
        rule["errnoRet"] = entry["errnoRet"]
    return rule


def _applies(filter: Mapping[str, Any], caps: Set[str], arch: str, kernel: str, *, every: bool) -> bool:
    """Whether the conditions hold: all of them for `includes`, any of them for `excludes`."""
    tests: list[bool] = []
    if filter.get("arches"):
        tests.append(arch in filter["arches"])
    tests += [cap in caps for cap in filter.get("caps") or ()]
    if filter.get("minKernel"):
        tests.append(_version(kernel) >= _version(filter["minKernel"]))
    return all(tests) if every else any(tests)


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split("-")[0].split(".")[:2] if part.isdecimal())
