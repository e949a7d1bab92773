"""seccomp filters for containers, compiled once per capability set.

Compiling a filter costs crun 4 ms. It leaves the compiled form in its state directory, and takes it back
through an annotation; so the first container with a profile pays, and the disk remembers for later processes.
"""

from __future__ import annotations

import base64
import errno
from collections.abc import Set
from pathlib import Path

import orjson

from sampan.kubelet.runtime import seccomp
from sampan.kubelet.runtime.contract import RuntimeFault, Security
from sampan.kubelet.runtime.host import Host
from sampan.kubelet.runtime.spec import Filter, Json

_LOCALHOST = "Localhost/"


class Filters:
    """`profiles`: where `Localhost/NAME` profiles lie."""

    def __init__(self, directory: Path, crun_state: Path, profiles: Path, host: Host) -> None:
        self._directory, self._crun_state, self._profiles, self._host = directory, crun_state, profiles, host
        self._sections: dict[frozenset[str], Json] = {}
        self._compiled: dict[str, str] = {}

    def choose(self, security: Security, granted: Set[str]) -> Filter | None:
        """None runs without. Raises RuntimeFault("CreateContainerError") for a profile that is not there."""
        if security.privileged or security.seccomp in ("", "Unconfined"):
            return None
        section = self._section(security.seccomp, frozenset(granted))
        return None if section is None else Filter(section, self._find(self._key(section)))

    def learn(self, container_id: str, filter: Filter) -> None:
        """Called once the container exists: keeps what crun compiled for it."""
        key = self._key(filter.section)
        if filter.compiled or key in self._compiled:
            return
        try:
            compiled = (self._crun_state / container_id / "seccomp.bpf").read_bytes()
        except FileNotFoundError:
            return  # this crun keeps none: every container compiles its own
        self._compiled[key] = base64.b64encode(compiled).decode()
        temporary = self._directory / f"{key}.{container_id}.new"
        temporary.write_text(self._compiled[key])
        temporary.rename(self._directory / key)

    def _section(self, profile: str, granted: frozenset[str]) -> Json | None:
        if profile.startswith(_LOCALHOST):
            try:
                name = profile.removeprefix(_LOCALHOST)
                if name.startswith("/") or ".." in name.split("/"):
                    raise FileNotFoundError(errno.ENOENT, f"it must lie below {self._profiles}")
                section: Json = orjson.loads((self._profiles / name).read_bytes())
                if not isinstance(section, dict) or "defaultAction" not in section:
                    raise ValueError("it has no defaultAction")
            except (OSError, ValueError) as error:
                text = f'cannot load seccomp profile "{profile}": {error}'
                raise RuntimeFault("CreateContainerError", text) from error
            return section
        if self._host.seccomp_profile is None:
            return None
        if granted not in self._sections:
            self._sections[granted] = seccomp.section(
                self._host.seccomp_profile, granted, self._host.machine, self._host.kernel
            )
        return self._sections[granted]

    def _key(self, section: Json) -> str:
        """A filter is for one kernel and one crun as well."""
        return f"{seccomp.fingerprint(section)[:32]}-{self._host.kernel}"

    def _find(self, key: str) -> str:
        if key not in self._compiled:
            try:
                self._compiled[key] = (self._directory / key).read_text()
            except FileNotFoundError:
                return ""
        return self._compiled[key]
