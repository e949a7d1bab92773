"""Makes a claim for every generic ephemeral volume of a Pod. The Pod owns it, so it goes with the Pod.

Source: concepts/storage/ephemeral-volumes#generic-ephemeral-volumes.
"""

from __future__ import annotations

from sampan.api.errors import StatusError
from sampan.api.objects import (
    Obj,
    controller_of,
    is_deleting,
    join_key,
    key_of,
    mutable,
    name_of,
    namespace_of,
    owner_reference,
)
from sampan.api.persistence import made_for
from sampan.api.podspec import is_terminal
from sampan.api.resources import PERSISTENT_VOLUME_CLAIMS, PODS
from sampan.client.client import Client
from sampan.client.controller import Controller
from sampan.client.events import EventRecorder
from sampan.client.informers import Informers


class EphemeralVolumeController:
    def __init__(self, client: Client, informers: Informers, events: EventRecorder) -> None:
        self._client, self._events = client, events
        self._pods = informers.informer(PODS)
        self._claims = informers.informer(PERSISTENT_VOLUME_CLAIMS)
        self._controller = Controller("ephemeral-volume", self.reconcile)

    async def run(self) -> None:
        await self._pods.wait_synced()
        await self._claims.wait_synced()
        self._pods.subscribe(self._pod_changed)
        self._claims.subscribe(self._claim_changed)
        await self._controller.run()

    def _pod_changed(self, old: Obj | None, new: Obj | None) -> None:
        # Volumes of a Pod never change, so only its coming is news.
        if old is None and new is not None and any(_ephemeral(new)):
            self._controller.enqueue(key_of(new))

    def _claim_changed(self, old: Obj | None, new: Obj | None) -> None:
        if new is None and old is not None:
            owner = controller_of(old)
            if owner is not None and owner["kind"] == "Pod":
                self._controller.enqueue(join_key(namespace_of(old), owner["name"]))

    async def reconcile(self, key: str) -> None:
        pod = self._pods.get(key)
        if pod is None or is_deleting(pod) or is_terminal(pod):
            return
        for volume in _ephemeral(pod):
            wanted = claim_for(pod, volume)
            present = self._claims.get(key_of(wanted))
            try:
                if present is None:
                    present = await self._client.create(PERSISTENT_VOLUME_CLAIMS, wanted)
                why = made_for(present, pod)
            except StatusError as error:
                why = error.message
            if why:
                message = f"ephemeral volume {volume['name']}: {why}"
                self._events.event(pod, "Warning", "FailedBinding", message)
                raise StatusError({"code": 409, "reason": "Conflict", "message": message})


def claim_for(pod: Obj, volume: Obj) -> Obj:
    template = mutable(volume["ephemeral"]["volumeClaimTemplate"])
    described = template.get("metadata") or {}
    metadata = {key: described[key] for key in ("labels", "annotations") if described.get(key)}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {
            **metadata,
            "name": f"{name_of(pod)}-{volume['name']}",
            "namespace": namespace_of(pod),
            "ownerReferences": [owner_reference(pod)],
        },
        "spec": template["spec"],
    }


def _ephemeral(pod: Obj) -> list[Obj]:
    return [each for each in pod["spec"].get("volumes") or () if each.get("ephemeral") is not None]
