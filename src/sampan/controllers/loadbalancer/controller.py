"""Gives Services of type LoadBalancer their addresses, and takes them back.

An address is taken in the pools in the same turn in which it is chosen, and free again only after the status
that named it is written or the Service has gone: no two Services ever have the same. Who finds the pool full
waits, and is woken by whoever gives an address back.
"""

from __future__ import annotations

from collections.abc import Sequence

from sampan.api.errors import StatusError
from sampan.api.objects import Obj, is_deleting, key_of, name_of, namespace_of, revision_of, uid_of
from sampan.api.resources import SERVICES
from sampan.client.client import Client
from sampan.client.controller import Controller
from sampan.client.events import EventRecorder
from sampan.client.informers import Informers
from sampan.controllers.finalizers import with_finalizer, without_finalizer
from sampan.controllers.loadbalancer.plan import (
    FINALIZER,
    Care,
    addresses,
    asked,
    care,
    families,
    status_patch,
)
from sampan.controllers.loadbalancer.pool import Pools, Refused


class LoadBalancerController:
    def __init__(
        self,
        client: Client,
        informers: Informers,
        events: EventRecorder,
        pools: Sequence[str],
        former: Sequence[str] = (),
    ) -> None:
        """Pools are networks or ranges (192.0.2.10-192.0.2.20); `former`: those of earlier times."""
        self._client, self._events = client, events
        self._services = informers.informer(SERVICES)
        self._pools = Pools(pools, former)
        self._written: dict[str, int] = {}
        """By uid, the revision of the last write: what the informer shows from before is not acted upon."""
        self._refused: dict[str, str] = {}
        """By key, what Services that wait for an address were told."""
        self._controller = Controller("loadbalancer", self.reconcile)
        self._services.subscribe(self._learn)
        self._controller.follow(self._services)

    async def run(self) -> None:
        await self._services.wait_synced()
        await self._controller.run()

    def _learn(self, old: Obj | None, new: Obj | None) -> None:
        if new is not None:
            self._pools.learn(uid_of(new), addresses(new))
        elif old is not None:
            self._written.pop(uid_of(old), None)
            self._refused.pop(key_of(old), None)
            self._give_back(old)

    async def reconcile(self, key: str) -> None:
        service = self._services.get(key)
        if service is None or revision_of(service) < self._written.get(uid_of(service), 0):
            return  # gone, or the echo of the last write is still to come
        try:
            match care(service, self._pools):
                case Care.SERVE:
                    await self._serve(service)
                case Care.CLEAN_UP:
                    await self._clean_up(service)
                case Care.LEAVE:
                    self._refused.pop(key, None)
                    self._give_back(service, addresses(service))
        except StatusError as error:
            if error.code != 404:
                raise

    async def _serve(self, service: Obj) -> None:
        key, uid = key_of(service), uid_of(service)
        try:
            wanted = self._pools.choose(uid, families(service), asked(service), addresses(service))
        except Refused as refusal:
            await self._refuse(service, str(refusal))
            return
        self._refused.pop(key, None)
        kept = with_finalizer(service, FINALIZER)
        patch = status_patch(service, wanted)
        if kept is None and patch is None:
            self._give_back(service, wanted)
            return
        self._events.event(service, "Normal", "EnsuringLoadBalancer", "Ensuring load balancer")
        if kept is not None:
            service = self._wrote(await self._client.update(SERVICES, kept))
        if patch is not None:
            await self._patch_status(service, patch)
        self._give_back(service, wanted)
        self._events.event(service, "Normal", "EnsuredLoadBalancer", "Ensured load balancer")

    async def _refuse(self, service: Obj, why: str) -> None:
        """It keeps what it has, but must not show what is another's."""
        key = key_of(service)
        if self._refused.get(key) != why:
            self._refused[key] = why
            message = f"Error syncing load balancer: failed to ensure load balancer: {why}"
            self._events.event(service, "Warning", "SyncLoadBalancerFailed", message)
        own = [address for address in addresses(service) if self._pools.holds(uid_of(service), address)]
        patch = status_patch(service, own)
        if patch is not None:
            service = await self._patch_status(service, patch)
        freed = None if own else without_finalizer(service, FINALIZER)
        if freed is not None:
            self._wrote(await self._client.update(SERVICES, freed))

    async def _clean_up(self, service: Obj) -> None:
        self._refused.pop(key_of(service), None)
        self._events.event(service, "Normal", "DeletingLoadBalancer", "Deleting load balancer")
        patch = status_patch(service, ())
        # With its last finalizer the object goes, and its status with it.
        going = is_deleting(service) and service["metadata"].get("finalizers") == [FINALIZER]
        if patch is not None and not going:
            service = await self._patch_status(service, patch)
        freed = without_finalizer(service, FINALIZER)
        if freed is not None:
            self._wrote(await self._client.update(SERVICES, freed))
        self._give_back(service)
        self._events.event(service, "Normal", "DeletedLoadBalancer", "Deleted load balancer")

    async def _patch_status(self, service: Obj, patch: Obj) -> Obj:
        return self._wrote(
            await self._client.patch(
                SERVICES,
                name_of(service),
                patch,
                namespace=namespace_of(service),
                subresource="status",
            )
        )

    def _wrote(self, service: Obj) -> Obj:
        if self._services.get(key_of(service)) is not None:
            self._written[uid_of(service)] = revision_of(service)
        return service

    def _give_back(self, service: Obj, keep: list[str] | None = None) -> None:
        """Whoever waits for an address has another look if this set one free."""
        if self._pools.keep(uid_of(service), keep or ()):
            for key in self._refused:
                self._controller.enqueue(key)
