"""What the `resize` subresource may change: cpu and memory of containers that run (KEP-1287)."""

from __future__ import annotations

from typing import Any

from sampan.api import podspec
from sampan.api.errors import FieldError, forbidden_value, invalid_value
from sampan.api.objects import Obj
from sampan.api.quantity import canonical
from sampan.api.validation.check import Errors, dicts
from sampan.api.validation.pod import MIRROR, whole

RESIZABLE = ("cpu", "memory")
LISTS = ("containers", "initContainers")


def resized(new: Obj, old: Obj) -> Obj:
    """The old Pod's spec with no more of the new one's than a resize is for.

    Where the containers are not the same ones the new lists stay, for `resize` to refuse.
    """
    spec = dict(old["spec"])
    for key in LISTS:
        wanted, present = new["spec"].get(key) or [], old["spec"].get(key) or []
        if [each.get("name") for each in wanted] != [each.get("name") for each in present]:
            spec[key] = wanted
        elif present:
            spec[key] = [_with(now, was) for now, was in zip(wanted, present, strict=True)]
    return spec


def _with(now: Obj, was: Obj) -> Obj:
    kept = {key: value for key, value in was.items() if key not in ("resources", "resizePolicy")}
    return kept | {key: now[key] for key in ("resources", "resizePolicy") if key in now}


def resize(new: Obj, old: Obj) -> list[FieldError]:
    if MIRROR in (old["metadata"].get("annotations") or {}):
        return [forbidden_value("", "static pods cannot be resized")]
    if (old["spec"].get("os") or {}).get("name") == "windows":
        return [forbidden_value("", "windows pods cannot be resized")]
    if old["spec"].get("resources"):
        return [forbidden_value("", "pods with pod-level resources cannot be resized")]
    if disordered := list(_order(new["spec"], old["spec"])):
        return disordered
    broken = list(whole(new))
    if broken:
        return broken
    was = (old.get("status") or {}).get("qosClass") or podspec.qos_class(old)
    if podspec.qos_class(new) != was:
        sentence = "Pod QOS Class may not change as a result of resizing"
        broken.append(invalid_value("spec", podspec.qos_class(new), sentence))
    for key in LISTS:
        for index, container in dicts(new["spec"], key):
            before = old["spec"][key][index]
            broken += _container(f"spec.{key}[{index}]", key, container, before)
    return broken


def _order(new: Obj, old: Obj) -> Errors:
    for key in LISTS:
        names = [[each.get("name") for _, each in dicts(spec, key)] for spec in (new, old)]
        if len(names[0]) != len(names[1]):
            yield forbidden_value(f"spec.{key}", f"{key} may not be added or removed on resize")
        elif names[0] != names[1]:
            yield forbidden_value(f"spec.{key}", f"{key} may not be renamed or reordered on resize")


def _container(path: str, key: str, new: Obj, old: Obj) -> Errors:
    if key == "initContainers" and not podspec.is_sidecar(old):
        if _essence(new) != _essence(old):
            sentence = "resources for non-sidecar init containers are immutable"
            yield forbidden_value(f"{path}.resources", sentence)
        return
    now, was = new.get("resources") or {}, old.get("resources") or {}
    for field in ("requests", "limits"):
        if (was.get(field) or {}).keys() - (now.get(field) or {}).keys():
            yield forbidden_value(f"{path}.resources.{field}", f"resource {field} cannot be removed")
    if _rest(now) != _rest(was):
        yield forbidden_value("spec", f"only cpu and memory resources are mutable: {path}.resources")


def _essence(container: Obj) -> Any:
    return _amounts(container.get("resources") or {}), container.get("resizePolicy") or []


def _amounts(resources: Obj) -> Obj:
    return {
        field: {name: canonical(text) for name, text in (resources.get(field) or {}).items()}
        for field in ("requests", "limits")
    }


def _rest(resources: Obj) -> Obj:
    """What a resize leaves alone."""
    found = {
        field: {name: text for name, text in listed.items() if name not in RESIZABLE}
        for field, listed in _amounts(resources).items()
    }
    return found | {"claims": resources.get("claims") or []}
