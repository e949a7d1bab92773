"""DefaultStorageClass: a claim that says nothing of a class gets the default one, if there is one."""

from __future__ import annotations

from sampan.api.objects import Obj, name_of
from sampan.api.persistence import default_class, names_class
from sampan.api.resources import STORAGE_CLASSES
from sampan.apiserver.admission.plugin import Plugin
from sampan.apiserver.conversion import storage_prefix
from sampan.apiserver.registry.hooks import Call


class DefaultStorageClass(Plugin):
    async def mutate(self, call: Call, claim: Obj, old: Obj | None) -> None:
        if names_class(claim):
            return
        entries = self.hub.cache(storage_prefix(STORAGE_CLASSES)).entries.values()
        default = default_class(entry.obj for entry in entries)
        if default is not None:
            claim["spec"]["storageClassName"] = name_of(default)
