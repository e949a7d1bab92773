"""Priority: a Pod gets its class's number and preemption policy."""

from __future__ import annotations

from sampan.api.objects import Obj
from sampan.api.resources import PRIORITY_CLASSES
from sampan.apiserver.admission.plugin import Plugin, refused
from sampan.apiserver.conversion import storage_prefix
from sampan.apiserver.registry.hooks import Call


class Priority(Plugin):
    async def mutate(self, call: Call, pod: Obj, old: Obj | None) -> None:
        spec = pod["spec"]
        chosen = self._class_of(call, pod)
        value = chosen.get("value", 0) if chosen else 0
        if "priority" in spec and spec["priority"] != value:
            why = (
                f"the integer value of priority ({spec['priority']}) must not be provided in pod spec; "
                f"priority admission controller computed {value} from the given PriorityClass name"
            )
            raise refused(call, pod, why)
        spec["priority"] = value
        policy = (chosen or {}).get("preemptionPolicy", "PreemptLowerPriority")
        spec.setdefault("preemptionPolicy", policy)

    def _class_of(self, call: Call, pod: Obj) -> Obj | None:
        cache = self.hub.cache(storage_prefix(PRIORITY_CLASSES))
        name = pod["spec"].get("priorityClassName")
        if name:
            entry = cache.get(storage_prefix(PRIORITY_CLASSES) + name)
            if entry is None:
                raise refused(call, pod, f"no PriorityClass with name {name} was found")
            return entry.obj
        defaults = [entry.obj for entry in cache.entries.values() if entry.obj.get("globalDefault")]
        if not defaults:
            return None
        lowest = min(defaults, key=lambda found: found.get("value", 0))
        pod["spec"]["priorityClassName"] = lowest["metadata"]["name"]
        return lowest
