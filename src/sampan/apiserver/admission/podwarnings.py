"""Tells authors of Pods and templates what is out of date or has no effect; refuses nothing."""

from __future__ import annotations

from sampan.api.objects import Obj
from sampan.api.podwarnings import warnings
from sampan.api.resources import PODS
from sampan.apiserver.admission.plugin import CREATE, UPDATE, Plugin
from sampan.apiserver.admission.podsecurity import TEMPLATES
from sampan.apiserver.registry.hooks import Call


class PodWarnings(Plugin):
    operations = frozenset({CREATE, UPDATE})

    async def validate(self, call: Call, new: Obj, old: Obj | None) -> None:
        if call.resource is PODS:
            if old is None:
                call.warnings += warnings(new["metadata"], new["spec"])
            return
        if old is not None and old.get("spec") == new.get("spec"):
            return
        steps = TEMPLATES[call.resource]
        template = new
        for step in steps:
            template = template.get(step) or {}
        prefix = ".".join(steps) + "."
        call.warnings += warnings(template.get("metadata") or {}, template.get("spec") or {}, prefix)
