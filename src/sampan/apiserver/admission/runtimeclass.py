"""RuntimeClass: the Pod's class must exist, and gives the Pod its overhead and where it may run.

Source: concepts/containers/runtime-class, concepts/scheduling-eviction/pod-overhead.
"""

from __future__ import annotations

from sampan.api import podspec
from sampan.api.objects import Obj
from sampan.api.resources import RUNTIME_CLASSES
from sampan.apiserver.admission.plugin import Plugin, denied, refused
from sampan.apiserver.conversion import storage_prefix
from sampan.apiserver.registry.hooks import Call


class RuntimeClass(Plugin):
    async def mutate(self, call: Call, pod: Obj, old: Obj | None) -> None:
        found = self._class_of(call, pod)
        if found is None:
            return
        spec = pod["spec"]
        if fixed := _fixed(found):
            _check_overhead(call, pod, fixed)
            spec["overhead"] = dict(fixed)
        scheduling = found.get("scheduling") or {}
        if selector := scheduling.get("nodeSelector"):
            spec["nodeSelector"] = _merged(call, pod, selector)
        tolerations = spec.get("tolerations") or []
        missing = [dict(item) for item in scheduling.get("tolerations") or () if item not in tolerations]
        if missing:
            spec["tolerations"] = [*tolerations, *missing]

    async def validate(self, call: Call, pod: Obj, old: Obj | None) -> None:
        """Whatever was added meanwhile, the overhead is the class's."""
        found = self._class_of(call, pod)
        if fixed := _fixed(found or {}):
            _check_overhead(call, pod, fixed)
        elif pod["spec"].get("overhead"):
            why = "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead"
            raise denied(call, pod, why)

    def _class_of(self, call: Call, pod: Obj) -> Obj | None:
        name = pod["spec"].get("runtimeClassName")
        if not name:
            return None
        entry = self.hub.cache(storage_prefix(RUNTIME_CLASSES)).get(storage_prefix(RUNTIME_CLASSES) + name)
        if entry is None:
            raise refused(call, pod, f'pod rejected: RuntimeClass "{name}" not found')
        return entry.obj


def _fixed(found: Obj) -> Obj:
    return (found.get("overhead") or {}).get("podFixed") or {}


def _check_overhead(call: Call, pod: Obj, fixed: Obj) -> None:
    said = pod["spec"].get("overhead")
    if said and _amounts(said) != _amounts(fixed):
        why = "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead"
        raise refused(call, pod, why)


def _amounts(overhead: Obj) -> dict[str, int]:
    return {name: podspec.amount(name, text) for name, text in overhead.items()}


def _merged(call: Call, pod: Obj, selector: Obj) -> Obj:
    own: Obj = pod["spec"].get("nodeSelector") or {}
    for key, value in selector.items():
        if own.get(key, value) != value:
            why = (
                f"conflict: runtimeClass.scheduling.nodeSelector[{key}] = {value}; "
                f"pod.spec.nodeSelector[{key}] = {own[key]}"
            )
            raise refused(call, pod, why)
    return {**own, **selector}
