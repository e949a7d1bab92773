"""Priority: a Pod gets its class's number and preemption policy; one class at most is everybody's default."""

from __future__ import annotations

from collections.abc import Iterator

from sampan.api.objects import Obj
from sampan.api.resources import PODS, PRIORITY_CLASSES
from sampan.apiserver.admission.plugin import CREATE, UPDATE, Plugin, denied, refused
from sampan.apiserver.conversion import storage_prefix
from sampan.apiserver.registry.hooks import Call


class Priority(Plugin):
    operations = frozenset({CREATE, UPDATE})

    async def mutate(self, call: Call, new: Obj, old: Obj | None) -> None:
        if call.resource is not PODS:
            return
        if old is None:
            self._assign(call, new)
            return
        # A manifest that is applied again says neither.
        for field in ("priority", "preemptionPolicy"):
            if field in old["spec"]:
                new["spec"].setdefault(field, old["spec"][field])

    async def validate(self, call: Call, new: Obj, old: Obj | None) -> None:
        if call.resource is not PRIORITY_CLASSES or not new.get("globalDefault"):
            return
        for other in self._defaults():
            if other["metadata"]["name"] != new["metadata"].get("name"):
                why = (
                    f"PriorityClass {other['metadata']['name']} is already marked as default. "
                    "Only one default can exist"
                )
                raise denied(call, new, why)

    def _assign(self, call: Call, pod: Obj) -> None:
        spec = pod["spec"]
        chosen = self._class_of(call, pod) or {}
        value = chosen.get("value", 0)
        if spec.get("priority", value) != value:
            why = (
                f"the integer value of priority ({spec['priority']}) must not be provided in pod spec; "
                f"priority admission controller computed {value} from the given PriorityClass name"
            )
            raise refused(call, pod, why)
        spec["priority"] = value
        policy = chosen.get("preemptionPolicy") or "PreemptLowerPriority"
        if spec.get("preemptionPolicy", policy) != policy:
            why = (
                f"the string value of PreemptionPolicy ({spec['preemptionPolicy']}) must not be provided in "
                f"pod spec; priority admission controller computed {policy} from the given PriorityClass name"
            )
            raise refused(call, pod, why)
        spec["preemptionPolicy"] = policy

    def _class_of(self, call: Call, pod: Obj) -> Obj | None:
        name = pod["spec"].get("priorityClassName")
        if name:
            entry = self.hub.cache(storage_prefix(PRIORITY_CLASSES)).get(
                storage_prefix(PRIORITY_CLASSES) + name
            )
            if entry is None:
                raise refused(call, pod, f"no PriorityClass with name {name} was found")
            return entry.obj
        lowest = min(self._defaults(), key=lambda found: found.get("value", 0), default=None)
        if lowest is not None:
            pod["spec"]["priorityClassName"] = lowest["metadata"]["name"]
        return lowest

    def _defaults(self) -> Iterator[Obj]:
        entries = self.hub.cache(storage_prefix(PRIORITY_CLASSES)).entries.values()
        return (entry.obj for entry in entries if entry.obj.get("globalDefault"))
