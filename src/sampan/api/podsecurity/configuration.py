"""A cluster's own word on Pod Security: what holds in all namespaces, and for whom nothing does.

The document is upstream's PodSecurityConfiguration (pod-security.admission.config.k8s.io/v1).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sampan.api.podsecurity.policy import PREFIX, Policy, of_namespace

API_VERSION, KIND = "pod-security.admission.config.k8s.io/v1", "PodSecurityConfiguration"
_MODES = ("enforce", "audit", "warn")
_EXEMPTIONS = {"usernames": "users", "namespaces": "namespaces", "runtimeClasses": "runtime_classes"}


@dataclass(frozen=True, slots=True)
class PodSecurityConfig:
    default: Policy = field(default_factory=Policy)
    users: frozenset[str] = frozenset()
    namespaces: frozenset[str] = frozenset()
    runtime_classes: frozenset[str] = frozenset()


def parse(document: Mapping[str, Any]) -> PodSecurityConfig:
    """Raises ValueError, which says what is wrong with the document."""
    if (document.get("apiVersion"), document.get("kind")) != (API_VERSION, KIND):
        raise ValueError(f"it is no {KIND} of {API_VERSION}")
    _only(document, ("apiVersion", "kind", "defaults", "exemptions"), "")
    defaults, exemptions = (_mapping(document, key) for key in ("defaults", "exemptions"))
    _only(defaults, [name for mode in _MODES for name in (mode, f"{mode}-version")], "defaults.")
    _only(exemptions, list(_EXEMPTIONS), "exemptions.")
    policy, broken = of_namespace({PREFIX + name: str(value) for name, value in defaults.items()})
    if broken:
        label, _, _ = broken[0].field.removeprefix(f"metadata.labels[{PREFIX}").rpartition("]")
        raise ValueError(f"defaults.{label}: {broken[0].message}")
    exempt = {ours: frozenset(_names(exemptions, theirs)) for theirs, ours in _EXEMPTIONS.items()}
    return PodSecurityConfig(policy, **exempt)


def _mapping(document: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = document.get(key) or {}
    if not isinstance(found, Mapping):
        raise ValueError(f"{key} must be an object")
    return found


def _names(exemptions: Mapping[str, Any], key: str) -> list[str]:
    found = exemptions.get(key) or []
    if not isinstance(found, list) or not all(isinstance(name, str) for name in found):
        raise ValueError(f"exemptions.{key} must be a list of names")
    return found


def _only(found: Mapping[str, Any], known: tuple[str, ...] | list[str], where: str) -> None:
    if strange := sorted(found.keys() - set(known)):
        raise ValueError(f"unknown field {where}{strange[0]}; known are {', '.join(known)}")
