"""PersistentVolumeClaimResize: a claim grows only where somebody makes its volume grow."""

from __future__ import annotations

from sampan.api.objects import Obj
from sampan.api.persistence import class_of, requested
from sampan.api.resources import STORAGE_CLASSES
from sampan.apiserver.admission.plugin import UPDATE, Plugin, denied
from sampan.apiserver.conversion import storage_prefix
from sampan.apiserver.registry.hooks import Call

UNBOUND = "Only bound persistent volume claims can be expanded"
UNSUPPORTED = (
    "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must "
    "support resize"
)


class PersistentVolumeClaimResize(Plugin):
    operations = frozenset({UPDATE})

    async def validate(self, call: Call, new: Obj, old: Obj | None) -> None:
        if old is None or requested(new) <= requested(old):
            return
        if (old.get("status") or {}).get("phase") != "Bound":
            raise denied(call, new, UNBOUND)
        name = class_of(new)
        if not name or name != class_of(old) or not self._expands(name):
            raise denied(call, new, UNSUPPORTED)

    def _expands(self, name: str) -> bool:
        prefix = storage_prefix(STORAGE_CLASSES)
        entry = self.hub.cache(prefix).get(prefix + name)
        return entry is not None and bool(entry.obj.get("allowVolumeExpansion"))
