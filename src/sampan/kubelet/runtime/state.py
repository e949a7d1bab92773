"""What is written beside every sandbox and container, so that another process can take them over.

Written before the thing it describes can exist: a file without a `pid` is something half made. Plain rename,
no fsync: what these files describe does not survive a crash of the machine either.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

import orjson

from sampan.kubelet.runtime.contract import (
    ContainerSpec,
    Exit,
    Mount,
    ProcessUser,
    Record,
    Resources,
    Sandbox,
    SandboxSpec,
    Security,
)
from sampan.kubelet.runtime.process import ProcessId

T = TypeVar("T")

log = logging.getLogger(__name__)


@dataclass(slots=True)
class ContainerState:
    """`init` and `conmon` are None until the container exists. `tool` is the OCI runtime that makes it."""

    spec: ContainerSpec
    init: ProcessId | None = None
    conmon: ProcessId | None = None
    created_at_s: float = 0.0
    started_at_s: float = 0.0
    exit: Exit | None = None
    tool: str = ""
    user: ProcessUser | None = None
    gaps: Sequence[str] = ()

    def record(self) -> Record:
        pid = self.init.pid if self.init else 0
        times = (self.created_at_s, self.started_at_s)
        return Record(self.spec, pid, *times, self.exit, self.user, self.gaps)


@dataclass(slots=True)
class SandboxState:
    """`sandbox` is None until all namespaces are pinned."""

    spec: SandboxSpec
    sandbox: Sandbox | None = None


def write(path: Path, state: ContainerState | SandboxState) -> None:
    temporary = path.with_suffix(".new")
    temporary.write_bytes(orjson.dumps(state))
    temporary.rename(path)


def read_container(path: Path) -> ContainerState | None:
    """None if there is no such file, or none that can be read."""
    return _read(path, _container)


def read_sandbox(path: Path) -> SandboxState | None:
    """None if there is no such file, or none that can be read."""
    return _read(path, _sandbox)


def _container(doc: Mapping[str, Any]) -> ContainerState:
    spec = doc["spec"] | {
        "mounts": [_build(Mount, mount) for mount in doc["spec"]["mounts"]],
        "resources": _build(Resources, doc["spec"]["resources"]),
        "security": _build(Security, doc["spec"]["security"]),
    }
    return ContainerState(
        _build(ContainerSpec, spec),
        _optional(ProcessId, doc["init"]),
        _optional(ProcessId, doc["conmon"]),
        doc["created_at_s"],
        doc["started_at_s"],
        _optional(Exit, doc["exit"]),
        doc.get("tool", ""),
        _optional(ProcessUser, doc.get("user")),
        tuple(doc.get("gaps", ())),
    )


def _sandbox(doc: Mapping[str, Any]) -> SandboxState:
    spec = doc["spec"] | {"resources": _optional(Resources, doc["spec"].get("resources"))}
    return SandboxState(_build(SandboxSpec, spec), _optional(Sandbox, doc["sandbox"]))


def _read(path: Path, build: Callable[[Mapping[str, Any]], T]) -> T | None:
    """What is torn, empty or of another shape is as good as not there: its thing is swept away."""
    try:
        return build(orjson.loads(path.read_bytes()))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (orjson.JSONDecodeError, LookupError, TypeError, AttributeError) as error:
        log.warning("%s cannot be read: %r", path, error)
        return None


def _build(kind: type[T], values: Mapping[str, Any]) -> T:
    """Ignores fields that another version wrote."""
    known = {field.name for field in fields(kind)}  # type: ignore[arg-type]
    found = {name: value for name, value in values.items() if name in known}
    return kind(**{name: tuple(v) if isinstance(v, list) else v for name, v in found.items()})


def _optional(kind: type[T], values: Mapping[str, Any] | None) -> T | None:
    return None if values is None else _build(kind, values)
