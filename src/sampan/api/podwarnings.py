"""What the author of a Pod, or of a template, is told although it is accepted. Pure.

Sentences are upstream's; each begins with the field's path.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sampan.api import apparmor, quantity
from sampan.api.errors import show
from sampan.api.objects import Obj
from sampan.api.podspec import all_containers

_LABELS = {
    "beta.kubernetes.io/arch": 'deprecated since v1.14; use "kubernetes.io/arch" instead',
    "beta.kubernetes.io/os": 'deprecated since v1.14; use "kubernetes.io/os" instead',
    "beta.kubernetes.io/instance-type": (
        'deprecated since v1.17; use "node.kubernetes.io/instance-type" instead'
    ),
    "failure-domain.beta.kubernetes.io/region": (
        'deprecated since v1.17; use "topology.kubernetes.io/region" instead'
    ),
    "failure-domain.beta.kubernetes.io/zone": (
        'deprecated since v1.17; use "topology.kubernetes.io/zone" instead'
    ),
}
# Annotation, or prefix of one, whose rest is a container's name -> what became of it.
_ANNOTATIONS = {
    "scheduler.alpha.kubernetes.io/critical-pod": (
        'non-functional in v1.16+; use the "priorityClassName" field instead'
    ),
    "seccomp.security.alpha.kubernetes.io/pod": (
        'non-functional in v1.27+; use the "seccompProfile" field instead'
    ),
    "container.seccomp.security.alpha.kubernetes.io/": (
        'non-functional in v1.27+; use the "seccompProfile" field instead'
    ),
    apparmor.PREFIX: 'deprecated since v1.30; use the "appArmorProfile" field instead',
}
_BYTES = ("memory", "ephemeral-storage")


def warnings(metadata: Obj, spec: Obj, prefix: str = "") -> Iterator[str]:
    """`prefix` is the path of a template, with the dot: `spec.template.`"""
    yield from _annotations(f"{prefix}metadata", metadata)
    path = f"{prefix}spec"
    yield from _labels(path, spec)
    yield from _repeated(f"{path}.imagePullSecrets", spec.get("imagePullSecrets"), "name")
    yield from _repeated(f"{path}.hostAliases", spec.get("hostAliases"), "ip")
    for listed, index, container in all_containers(spec):
        yield from _container(f"{path}.{listed}[{index}]", container)
    if (spec.get("terminationGracePeriodSeconds") or 0) < 0:
        sentence = "must be >= 0; negative values are invalid and will be treated as 1"
        yield f"{path}.terminationGracePeriodSeconds: {sentence}"


def _annotations(path: str, metadata: Obj) -> Iterator[str]:
    for key in sorted(metadata.get("annotations") or {}):
        for known, sentence in _ANNOTATIONS.items():
            if key == known or (known.endswith("/") and key.startswith(known)):
                yield f"{path}.annotations[{key}]: {sentence}"


def _labels(path: str, spec: Obj) -> Iterator[str]:
    for key in spec.get("nodeSelector") or {}:
        if key in _LABELS:
            yield f"{path}.nodeSelector[{key}]: {_LABELS[key]}"
    affinity = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    required, preferred = (
        f"{when}DuringSchedulingIgnoredDuringExecution" for when in ("required", "preferred")
    )
    at = f"{path}.affinity.nodeAffinity"
    for index, term in enumerate((affinity.get(required) or {}).get("nodeSelectorTerms") or ()):
        yield from _term(f"{at}.{required}.nodeSelectorTerms[{index}]", term)
    for index, weighted in enumerate(affinity.get(preferred) or ()):
        yield from _term(f"{at}.{preferred}[{index}].preference", weighted.get("preference") or {})
    for index, constraint in enumerate(spec.get("topologySpreadConstraints") or ()):
        if (key := constraint.get("topologyKey")) in _LABELS:
            yield f"{path}.topologySpreadConstraints[{index}].topologyKey: {key} is {_LABELS[key]}"


def _term(path: str, term: Obj) -> Iterator[str]:
    for index, expression in enumerate(term.get("matchExpressions") or ()):
        if (key := expression.get("key")) in _LABELS:
            yield f"{path}.matchExpressions[{index}].key: {key} is {_LABELS[key]}"


def _repeated(path: str, entries: list[Obj] | None, field: str) -> Iterator[str]:
    seen = set()
    for index, entry in enumerate(entries or ()):
        value = entry.get(field) or ""
        if not value:
            yield f'{path}[{index}].{field}: invalid empty {field} ""'
        elif value in seen:
            yield f"{path}[{index}].{field}: duplicate {field} {show(value)}"
        seen.add(value)


def _container(path: str, container: Obj) -> Iterator[str]:
    seen = set()
    for index, variable in enumerate(container.get("env") or ()):
        name = variable.get("name")
        if name in seen:
            sentence = f"hides previous definition of {show(name)}, which may be dropped when using apply"
            yield f"{path}.env[{index}]: {sentence}"
        seen.add(name)
    first: dict[Any, int] = {}
    for index, port in enumerate(container.get("ports") or ()):
        key = tuple(port.get(field) for field in ("protocol", "hostIP", "hostPort", "containerPort"))
        if first.setdefault(key, index) != index:
            yield f"{path}.ports[{index}]: duplicate port definition with {path}.ports[{first[key]}]"
    resources = container.get("resources") or {}
    for kind in ("limits", "requests"):
        for name, text in (resources.get(kind) or {}).items():
            if name in _BYTES and _is_fraction(text):
                sentence = f"fractional byte value {show(str(text))} is invalid, must be an integer"
                yield f"{path}.resources.{kind}[{name}]: {sentence}"


def _is_fraction(text: Any) -> bool:
    try:
        return quantity.quantity(text).nano % 10**9 != 0
    except ValueError:
        return False  # refused for what it is
