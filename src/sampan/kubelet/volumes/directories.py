"""The built-in provisioner: volumes of class `standard` are directories of this node, below one root.

Order makes it safe to be killed anywhere: the directory is made before the volume that names it, and removed
before the volume's finalizer is. Files are touched in threads, one volume at a time for each worker.
"""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

from sampan.api.errors import StatusError
from sampan.api.objects import Obj, annotations_of, is_deleting, key_of, mutable, name_of, uid_of
from sampan.api.persistence import DIRECTORIES, SELECTED_NODE, class_of
from sampan.api.resources import PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, STORAGE_CLASSES
from sampan.client.client import Client
from sampan.client.controller import Controller
from sampan.client.events import EventRecorder
from sampan.client.informers import Informers
from sampan.kubelet.volumes import ownership, removal
from sampan.kubelet.volumes.provisioning import (
    directory_of,
    is_chosen,
    is_left_over,
    is_ours,
    is_to_go,
    is_wanted,
    refusal,
    volume_for,
    volume_name,
)

log = logging.getLogger(__name__)


class Directories:
    """`root` is the directory of this node below which each volume has one of its own."""

    def __init__(self, client: Client, informers: Informers, node_name: str, root: Path) -> None:
        self._client, self._node, self._root = client, node_name, root
        self._events = EventRecorder(client, DIRECTORIES, node_name)
        self._claims = informers.informer(PERSISTENT_VOLUME_CLAIMS)
        self._volumes = informers.informer(PERSISTENT_VOLUMES)
        self._classes = informers.informer(STORAGE_CLASSES)
        self._making = Controller("directories", self.provide)
        self._removing = Controller("directories-removal", self.remove, workers=2)

    async def run(self) -> None:
        for informer in (self._claims, self._volumes, self._classes):
            await informer.wait_synced()
        await self._tidy()
        self._claims.subscribe(self._claim_changed)
        self._volumes.subscribe(self._volume_changed)
        self._classes.subscribe(self._class_changed)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._making.run())
                group.create_task(self._removing.run())
        finally:
            await self._events.close()

    async def _tidy(self) -> None:
        """Removes directories that were made and never became volumes; one that has data is left alone."""
        claims, volumes = self._claims.list(), set(self._volumes.keys())
        places = await asyncio.to_thread(lambda: list(self._root.iterdir()) if self._root.is_dir() else [])
        for place in places:
            if is_left_over(place.name, volumes, claims):
                try:
                    place.rmdir()
                except OSError as error:
                    log.warning("%s belongs to no volume and is left alone: %s", place, error.strerror)

    def _claim_changed(self, old: Obj | None, new: Obj | None) -> None:
        if new is not None and self._wants(new):
            self._making.enqueue(key_of(new))

    def _class_changed(self, old: Obj | None, new: Obj | None) -> None:
        for claim in self._claims.list():
            self._claim_changed(None, claim)

    def _volume_changed(self, old: Obj | None, new: Obj | None) -> None:
        if new is not None and is_ours(new, self._node) and is_to_go(new):
            self._removing.enqueue(name_of(new))

    def _wants(self, claim: Obj) -> bool:
        return is_wanted(claim, self._classes.get(class_of(claim)), self._node)

    async def provide(self, key: str) -> None:
        claim = self._claims.get(key)
        if claim is None or not self._wants(claim) or self._volumes.get(volume_name(claim)) is not None:
            return
        storage_class = self._classes.get(class_of(claim))
        assert storage_class is not None, "is_wanted has seen it"
        if not is_chosen(claim):
            await self._choose_ourselves(claim)
            return  # its event comes here again
        if why := refusal(claim, storage_class):
            self._failed(claim, why)
            return
        message = f'External provisioner is provisioning volume for claim "{key}"'
        self._events.event(claim, "Normal", "Provisioning", message)
        volume = volume_for(claim, storage_class, self._node, self._root)
        try:
            await asyncio.to_thread(ownership.make, self._root / name_of(volume), None)
        except OSError as error:
            self._failed(claim, str(error))
            raise
        try:
            await self._client.create(PERSISTENT_VOLUMES, volume)
        except StatusError as error:
            if error.code != 409:  # 409: it was made before we were killed
                raise
        self._events.event(
            claim, "Normal", "ProvisioningSucceeded", f"Successfully provisioned volume {name_of(volume)}"
        )

    async def _choose_ourselves(self, claim: Obj) -> None:
        changed = mutable(claim)
        changed["metadata"]["annotations"] = annotations_of(claim) | {SELECTED_NODE: self._node}
        await self._client.update(PERSISTENT_VOLUME_CLAIMS, changed)

    def _failed(self, claim: Obj, why: str) -> None:
        message = f'failed to provision volume with StorageClass "{class_of(claim)}": {why}'
        self._events.event(claim, "Warning", "ProvisioningFailed", message)

    async def remove(self, name: str) -> None:
        volume = self._volumes.get(name)
        if volume is None or not is_ours(volume, self._node) or not is_to_go(volume):
            return
        try:
            place = directory_of(volume, self._root)
            if place is not None:
                await asyncio.to_thread(removal.remove, place)
        except (OSError, ValueError) as error:
            self._events.event(volume, "Warning", "VolumeFailedDelete", str(error))
            if isinstance(error, ValueError):
                return  # it will not get better
            raise
        try:
            if not is_deleting(volume):
                await self._client.delete(PERSISTENT_VOLUMES, name, uid=uid_of(volume))
            latest = mutable(await self._client.get(PERSISTENT_VOLUMES, name))
            metadata = latest["metadata"]
            metadata["finalizers"] = [
                each for each in metadata.get("finalizers") or () if each != DIRECTORIES
            ]
            await self._client.update(PERSISTENT_VOLUMES, latest)
        except StatusError as error:
            if error.code != 404:
                raise
