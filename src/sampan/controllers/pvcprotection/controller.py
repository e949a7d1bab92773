"""Takes the protecting finalizer off claims that are on their way out once no Pod uses them.

Admission puts it on; claims that came by another way get it here. A Pod uses its claims from the moment it
has a node until it is gone from the API: one that has ended may still be looked at.
"""

from __future__ import annotations

from collections.abc import Iterable

from sampan.api.errors import StatusError
from sampan.api.objects import Obj, is_deleting, key_of, name_of, namespace_of
from sampan.api.persistence import CLAIM_PROTECTION, claim_keys, claims_of, made_for
from sampan.api.resources import PERSISTENT_VOLUME_CLAIMS, PODS
from sampan.client.client import Client
from sampan.client.controller import Controller
from sampan.client.events import EventRecorder
from sampan.client.informers import Informers
from sampan.controllers.finalizers import with_finalizer, without_finalizer


class ClaimProtectionController:
    def __init__(self, client: Client, informers: Informers, events: EventRecorder) -> None:
        self._client = client
        self._claims = informers.informer(PERSISTENT_VOLUME_CLAIMS)
        self._pods = informers.informer(PODS)
        self._pods.add_index("claim", claim_keys)
        self._controller = Controller("pvc-protection", self.reconcile)

    async def run(self) -> None:
        await self._claims.wait_synced()
        await self._pods.wait_synced()
        self._controller.follow(self._claims)
        self._pods.subscribe(self._pod_changed)
        await self._controller.run()

    def _pod_changed(self, old: Obj | None, new: Obj | None) -> None:
        if old is not None and new is None:
            for key in claim_keys(old):
                self._controller.enqueue(key)

    async def reconcile(self, key: str) -> None:
        claim = self._claims.get(key)
        if claim is None:
            return
        if not is_deleting(claim):
            changed = with_finalizer(claim, CLAIM_PROTECTION)
        elif any(uses(pod, claim) for pod in self._pods.by_index("claim", key)):
            return
        else:
            changed = without_finalizer(claim, CLAIM_PROTECTION)
        if changed is None or (is_deleting(claim) and any(uses(p, claim) for p in await self._fresh(claim))):
            return
        try:
            await self._client.update(PERSISTENT_VOLUME_CLAIMS, changed)
        except StatusError as error:
            if error.code != 404:
                raise

    async def _fresh(self, claim: Obj) -> Iterable[Obj]:
        """Asks the API itself: the informer may not show yet who has just got a node."""
        found = await self._client.list(PODS, namespace_of(claim))
        return [pod for pod in found.get("items") or () if key_of(claim) in claim_keys(pod)]


def uses(pod: Obj, claim: Obj) -> bool:
    if not pod["spec"].get("nodeName"):
        return False  # no node starts a Pod whose claim is on its way out
    return any(
        each.claim == name_of(claim) and not (each.is_ephemeral and made_for(claim, pod))
        for each in claims_of(pod)
    )
