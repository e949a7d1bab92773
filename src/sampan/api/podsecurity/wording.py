"""How violations are told: who does what wrong, in upstream's sentences."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sampan.api.objects import Obj
from sampan.api.podspec import all_containers


@dataclass(frozen=True, slots=True)
class Violation:
    """`reason` names the rule, `detail` who breaks it and how."""

    reason: str
    detail: str

    def __str__(self) -> str:
        return f"{self.reason} ({self.detail})"


def contexts(spec: Obj) -> list[tuple[str, Obj]]:
    """(name, securityContext) of all containers, init and ephemeral ones as well."""
    return [(c.get("name", ""), c.get("securityContext") or {}) for c in containers(spec)]


def containers(spec: Obj) -> list[Obj]:
    return [container for _, _, container in all_containers(spec)]


def guilty(spec: Obj, bad: Callable[[Obj], bool]) -> list[str]:
    """Names of the containers whose securityContext is bad."""
    return [name for name, context in contexts(spec) if bad(context)]


def quoted(items: Iterable[str]) -> str:
    """As they are: upstream escapes nothing here."""
    return ", ".join(f'"{item}"' for item in items)


def several(noun: str, items: Sequence[Any], plural: str = "") -> str:
    return noun if len(items) == 1 else plural or f"{noun}s"


def named(noun: str, names: Sequence[str]) -> str:
    """`container "a"`, `containers "a", "b"`."""
    return f"{several(noun, names)} {quoted(names)}"


def setters(pod: bool, names: Sequence[str]) -> str:
    """`pod`, `container "a"`, `pod and containers "a", "b"`; "" for nobody."""
    return " and ".join(["pod"] * pod + ([named("container", names)] if names else []))


def windows(spec: Obj) -> bool:
    return (spec.get("os") or {}).get("name") == "windows"


def own_users(spec: Obj) -> bool:
    """Its root is nobody's root on the node (KEP-127)."""
    return spec.get("hostUsers") is False
