"""Takes the protecting finalizer off volumes that are on their way out once no claim is bound to them.

Admission puts it on; volumes that came by another way get it here.
"""

from __future__ import annotations

from sampan.api.errors import StatusError
from sampan.api.objects import is_deleting
from sampan.api.persistence import VOLUME_PROTECTION
from sampan.api.resources import PERSISTENT_VOLUMES
from sampan.client.client import Client
from sampan.client.controller import Controller
from sampan.client.events import EventRecorder
from sampan.client.informers import Informers
from sampan.controllers.finalizers import with_finalizer, without_finalizer


class VolumeProtectionController:
    def __init__(self, client: Client, informers: Informers, events: EventRecorder) -> None:
        self._client = client
        self._volumes = informers.informer(PERSISTENT_VOLUMES)
        self._controller = Controller("pv-protection", self.reconcile)

    async def run(self) -> None:
        await self._volumes.wait_synced()
        self._controller.follow(self._volumes)
        await self._controller.run()

    async def reconcile(self, key: str) -> None:
        volume = self._volumes.get(key)
        if volume is None:
            return
        if not is_deleting(volume):
            changed = with_finalizer(volume, VOLUME_PROTECTION)
        elif (volume.get("status") or {}).get("phase") == "Bound":
            return
        else:
            changed = without_finalizer(volume, VOLUME_PROTECTION)
        if changed is not None:
            try:
                await self._client.update(PERSISTENT_VOLUMES, changed)
            except StatusError as error:
                if error.code != 404:
                    raise
