"""TaintNodesByCondition: nothing is placed on a node before it has said that it is ready."""

from __future__ import annotations

from sampan.api.objects import Obj
from sampan.apiserver.admission.plugin import Plugin
from sampan.apiserver.admission.tolerations import NOT_READY
from sampan.apiserver.registry.hooks import Call


class TaintNodesByCondition(Plugin):
    async def mutate(self, call: Call, node: Obj, old: Obj | None) -> None:
        spec = node.setdefault("spec", {})
        taints = spec.get("taints") or []
        if not any(taint.get("key") == NOT_READY and taint.get("effect") == "NoSchedule" for taint in taints):
            spec["taints"] = [*taints, {"key": NOT_READY, "effect": "NoSchedule"}]
