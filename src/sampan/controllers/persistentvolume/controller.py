"""Binds claims to volumes, step by step, and says what becomes of volumes whose claim has gone.

Claims and volumes have a queue each. Steps are planned without awaiting; a volume that a step is about to
give to a claim is `_promised` from there to the answer, so that claims of which the steps interleave never
want the same one. The rest is left to revisions: whoever is late gets a conflict and looks again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from sampan.api.errors import StatusError
from sampan.api.objects import Obj, is_deleting, key_of, name_of, split_key, uid_of
from sampan.api.persistence import claim_key, claim_ref, class_of, is_complete
from sampan.api.resources import (
    PERSISTENT_VOLUME_CLAIMS,
    PERSISTENT_VOLUMES,
    STORAGE_CLASSES,
    Resource,
)
from sampan.client.client import Client
from sampan.client.controller import Controller
from sampan.client.events import EventRecorder
from sampan.client.informers import Informers
from sampan.controllers.persistentvolume import claims, volumes
from sampan.controllers.persistentvolume.step import Step, Write
from sampan.controllers.persistentvolume.written import Written

WORKERS = 8
MOST_STEPS = 10
"""Of one look; there are never more than five."""


class PersistentVolumeController:
    """Keeps step.Market."""

    def __init__(self, client: Client, informers: Informers, events: EventRecorder) -> None:
        self._client, self._events = client, events
        self._claim_informer = informers.informer(PERSISTENT_VOLUME_CLAIMS)
        self._volume_informer = informers.informer(PERSISTENT_VOLUMES)
        self._classes = informers.informer(STORAGE_CLASSES)
        self._claims = Written(self._claim_informer)
        self._volumes = Written(self._volume_informer)
        self._promised: dict[str, str] = {}
        """Volume name -> uid of the claim it is being given to."""
        self._claim_queue = Controller("persistentvolume-claims", self.reconcile_claim, workers=WORKERS)
        self._volume_queue = Controller("persistentvolume-volumes", self.reconcile_volume, workers=WORKERS)
        self._claim_informer.add_index("open", _open_class)
        self._volume_informer.add_index("claim", lambda volume: [claim_key(volume)])
        self._volume_informer.add_index("free", _free_class)

    async def run(self) -> None:
        for informer in (self._claim_informer, self._volume_informer, self._classes):
            await informer.wait_synced()
        self._claim_informer.subscribe(self._claim_changed)
        self._volume_informer.subscribe(self._volume_changed)
        self._classes.subscribe(self._class_changed)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._claim_queue.run())
            group.create_task(self._volume_queue.run())

    # --- what wakes it

    def _claim_changed(self, old: Obj | None, new: Obj | None) -> None:
        claim = new or old
        assert claim is not None
        if new is not None:
            self._claim_queue.enqueue(key_of(new))
        for volume in self._volume_informer.by_index("claim", key_of(claim)):
            self._volume_queue.enqueue(name_of(volume))

    def _volume_changed(self, old: Obj | None, new: Obj | None) -> None:
        for volume in (old, new):
            if volume is not None:
                self._volume_queue.enqueue(name_of(volume))
                if key := claim_key(volume):
                    self._claim_queue.enqueue(key)
        if new is not None and _free_class(new) and (old is None or not _free_class(old)):
            self._wake_open(class_of(new))

    def _class_changed(self, old: Obj | None, new: Obj | None) -> None:
        if new is not None:
            self._wake_open(name_of(new))
            self._wake_open("")

    def _wake_open(self, storage_class: str) -> None:
        for claim in self._claim_informer.by_index("open", storage_class):
            self._claim_queue.enqueue(key_of(claim))

    # --- what there is

    def claim(self, key: str) -> Obj | None:
        return self._claims.get(key)

    def volume(self, name: str) -> Obj | None:
        return self._volumes.get(name)

    def offers(self, claim: Obj) -> Iterable[Obj]:
        found = [
            *self._volume_informer.by_index("claim", key_of(claim)),
            *self._volume_informer.by_index("free", class_of(claim)),
        ]
        for seen in found:
            name = name_of(seen)
            volume = self._volumes.get(name)
            if volume is not None and self._promised.get(name, uid_of(claim)) == uid_of(claim):
                yield volume

    def classes(self) -> Iterable[Obj]:
        return self._classes.list()

    def storage_class(self, name: str) -> Obj | None:
        return self._classes.get(name) if name else None

    # --- what it does

    async def reconcile_claim(self, key: str) -> None:
        for _ in range(MOST_STEPS):
            claim = self._claims.get(key)
            if claim is None:
                return
            step = claims.step(claim, self)
            if _phase_of(step, claim) == "Lost":
                volume = claim["spec"].get("volumeName")
                if volume and self.volume(volume) is None:
                    found = await self._ask(PERSISTENT_VOLUMES, volume)
                    if found is not None:
                        self._volumes.put(found)
                        continue
            self._tell(step)
            if not step.writes:
                return
            await self._carry_out(step, uid_of(claim))

    async def reconcile_volume(self, key: str) -> None:
        for _ in range(MOST_STEPS):
            volume = self._volumes.get(key)
            if volume is None:
                return
            step = volumes.step(volume, self)
            if _phase_of(step, volume) == "Released":
                claim = await self._ask(PERSISTENT_VOLUME_CLAIMS, claim_key(volume))
                if claim is not None and uid_of(claim) == claim_ref(volume)["uid"]:
                    if self.claim(claim_key(volume)) is None:
                        self._claims.put(claim)
                        continue
                    if claim["spec"].get("volumeName") in (None, "", name_of(volume)):
                        return  # the informer is behind; what it shows next comes here again
            self._tell(step)
            if not step.writes:
                return
            await self._carry_out(step, "")

    def _tell(self, step: Step) -> None:
        for said in step.says:
            self._events.event(said.obj, said.type, said.reason, said.message)

    async def _carry_out(self, step: Step, claim_uid: str) -> None:
        if len(step.writes) == 1:
            await self._write(step.writes[0], claim_uid)
            return
        # All come to an end before any failure is told: what was written must be known by then.
        outcomes = await asyncio.gather(
            *(self._write(write, claim_uid) for write in step.writes), return_exceptions=True
        )
        for outcome in outcomes:
            if outcome is not None:
                raise outcome

    async def _write(self, write: Write, claim_uid: str) -> None:
        obj = write.obj
        of_volume = obj["kind"] == PERSISTENT_VOLUMES.kind
        resource = PERSISTENT_VOLUMES if of_volume else PERSISTENT_VOLUME_CLAIMS
        name = name_of(obj)
        if of_volume and claim_uid:
            self._promised[name] = claim_uid
        try:
            written = await self._client.update(resource, obj, subresource="status" if write.status else "")
        finally:
            if of_volume and claim_uid:
                self._promised.pop(name, None)
        (self._volumes if of_volume else self._claims).put(written)

    async def _ask(self, resource: Resource, key: str) -> Obj | None:
        """The API itself, where a late informer would have data given up for lost."""
        namespace, name = split_key(key)
        try:
            return await self._client.get(resource, name, namespace)
        except StatusError as error:
            if error.code != 404:
                raise
            return None


def _phase_of(step: Step, before: Obj) -> str:
    """The phase that a step brings its object, or ""."""
    for write in step.writes:
        phase: str = (write.obj.get("status") or {}).get("phase", "")
        if write.status and write.obj["kind"] == before["kind"]:
            return phase if phase != (before.get("status") or {}).get("phase") else ""
    return ""


def _open_class(claim: Obj) -> list[str]:
    """The class of a claim that looks for a volume."""
    looks = not is_complete(claim) and not claim["spec"].get("volumeName") and not is_deleting(claim)
    return [class_of(claim)] if looks else []


def _free_class(volume: Obj) -> list[str]:
    """The class of a volume that is to be had."""
    free = (volume.get("status") or {}).get("phase") == "Available" and not claim_ref(volume)
    return [class_of(volume)] if free else []
