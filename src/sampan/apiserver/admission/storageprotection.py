"""StorageObjectInUseProtection: volumes and claims stay until a controller finds that nobody uses them."""

from __future__ import annotations

from sampan.api.objects import Obj
from sampan.api.persistence import CLAIM_PROTECTION, VOLUME_PROTECTION
from sampan.api.resources import PERSISTENT_VOLUMES
from sampan.apiserver.admission.plugin import Plugin
from sampan.apiserver.registry.hooks import Call


class StorageObjectInUseProtection(Plugin):
    async def mutate(self, call: Call, new: Obj, old: Obj | None) -> None:
        finalizer = VOLUME_PROTECTION if call.resource == PERSISTENT_VOLUMES else CLAIM_PROTECTION
        finalizers = new["metadata"].get("finalizers") or []
        if finalizer not in finalizers:
            new["metadata"]["finalizers"] = [*finalizers, finalizer]
