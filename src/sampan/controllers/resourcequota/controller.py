"""Shows how much of every ResourceQuota is used; the API server itself holds creations to it.

Each quota has a tally that follows the objects it counts, one event at a time: an object that comes or goes
costs the same whatever the namespace holds. Resources are watched from the first quota on that counts them.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from sampan.api import resources
from sampan.api.errors import StatusError
from sampan.api.objects import Obj, is_deleting, key_of, mutable, namespace_of
from sampan.api.quota import Tally, tallied, texts
from sampan.api.resources import Resource
from sampan.client.client import Client
from sampan.client.controller import Controller
from sampan.client.events import EventRecorder
from sampan.client.informer import Informer
from sampan.client.informers import Informers

RESOURCE_QUOTAS = resources.resource("", "v1", "resourcequotas")

log = logging.getLogger(__name__)


class ResourceQuotaController:
    def __init__(self, client: Client, informers: Informers, events: EventRecorder) -> None:
        self._client, self._informers = client, informers
        self._quotas = informers.informer(RESOURCE_QUOTAS)
        self._tallies: dict[str, dict[str, Tally]] = {}
        """By namespace and key of the quota."""
        self._watched: dict[Resource, Informer] = {}
        self._watching = asyncio.Lock()
        self._controller = Controller("resourcequota", self.reconcile)

    async def run(self) -> None:
        await self._quotas.wait_synced()
        self._quotas.subscribe(self._quota_changed)
        await self._controller.run()

    def _quota_changed(self, old: Obj | None, new: Obj | None) -> None:
        quota = new or old
        assert quota is not None
        if new is None or old is None or old.get("spec") != new.get("spec"):
            self._tallies.get(namespace_of(quota), {}).pop(key_of(quota), None)
        self._controller.enqueue(key_of(quota))

    def _changed(self, resource: Resource) -> Callable[[Obj | None, Obj | None], None]:
        def changed(old: Obj | None, new: Obj | None) -> None:
            obj = new or old
            assert obj is not None
            for key, tally in self._tallies.get(namespace_of(obj), {}).items():
                if tally.count(resource, old, new):
                    self._controller.enqueue(key)

        return changed

    async def reconcile(self, key: str) -> float | None:
        quota = self._quotas.get(key)
        if quota is None or is_deleting(quota):
            return None
        tally = await self._tally(quota)
        status: Obj = {"hard": texts(tally.hard), "used": texts(tally.used)}
        if quota.get("status") == status:
            return None
        changed = mutable(quota)
        changed["status"] = status
        try:
            await self._client.update_status(RESOURCE_QUOTAS, changed)
        except StatusError as error:
            if error.code != 404:
                raise
        return None

    async def _tally(self, quota: Obj) -> Tally:
        """The quota's, made where there is none of its present spec."""
        known = self._tallies.get(namespace_of(quota), {}).get(key_of(quota))
        if known is not None:
            return known
        async with self._watching:
            for resource in Tally(quota).resources - self._watched.keys():
                await self._watch(resource)
        # From here on nothing is awaited: no event is missed and none is counted twice.
        latest = self._quotas.get(key_of(quota)) or quota
        namespace = namespace_of(latest)
        tally = tallied(latest, lambda resource: self._objects(resource, namespace))
        self._tallies.setdefault(namespace, {})[key_of(latest)] = tally
        return tally

    async def _watch(self, resource: Resource) -> None:
        informer = self._informers.informer(resource)
        await informer.wait_synced()
        informer.subscribe(self._changed(resource))
        self._watched[resource] = informer

    def _objects(self, resource: Resource, namespace: str) -> list[Obj]:
        informer = self._watched.get(resource)
        listed = informer.list() if informer is not None else []
        return [obj for obj in listed if namespace_of(obj) == namespace]
