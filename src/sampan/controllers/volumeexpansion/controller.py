"""Enlarges volumes of the built-in provisioner when their claims ask for more; admission said they may."""

from __future__ import annotations

from sampan.api.objects import Obj
from sampan.api.persistence import claim_key
from sampan.api.resources import PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES
from sampan.client.client import Client
from sampan.client.controller import Controller
from sampan.client.events import EventRecorder
from sampan.client.informers import Informers
from sampan.controllers.volumeexpansion.plan import IGNORED, plan


class VolumeExpansionController:
    def __init__(self, client: Client, informers: Informers, events: EventRecorder) -> None:
        self._client, self._events = client, events
        self._claims = informers.informer(PERSISTENT_VOLUME_CLAIMS)
        self._volumes = informers.informer(PERSISTENT_VOLUMES)
        self._controller = Controller("volume-expansion", self.reconcile)

    async def run(self) -> None:
        await self._claims.wait_synced()
        await self._volumes.wait_synced()
        self._controller.follow(self._claims)
        self._controller.follow(self._volumes, _claim)
        await self._controller.run()

    async def reconcile(self, key: str) -> None:
        claim = self._claims.get(key)
        if claim is None:
            return
        name = claim["spec"].get("volumeName")
        step = plan(claim, self._volumes.get(name) if name else None)
        if step.foreign:
            self._events.event(claim, "Warning", "ExternalExpanding", IGNORED)
        if step.volume is not None:
            await self._client.update(PERSISTENT_VOLUMES, step.volume)
        if step.status is not None:
            await self._client.update_status(PERSISTENT_VOLUME_CLAIMS, step.status)
            self._events.event(claim, "Normal", "VolumeResizeSuccessful", "Resize volume succeeded")


def _claim(volume: Obj) -> list[str]:
    return [key] if (key := claim_key(volume)) else []
