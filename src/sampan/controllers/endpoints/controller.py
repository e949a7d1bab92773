"""Keeps the Endpoints object beside every Service that has a selector; all others are the user's.

A write from an old cache is refused (409) and made anew: the object has the Service's name, and every update
the revision it was made from.
"""

from __future__ import annotations

from sampan.api.errors import StatusError
from sampan.api.objects import Obj, is_deleting, key_of, labels_of, split_key
from sampan.api.resources import ENDPOINTS, PODS, SERVICES
from sampan.client.client import Client
from sampan.client.controller import Controller
from sampan.client.events import EventRecorder
from sampan.client.informers import Informers
from sampan.controllers import selection
from sampan.controllers.endpoints.subsets import MANAGED_BY, MANAGER, endpoints

COALESCE_S = 0.005
"""Endpoints follow Pods a bit later than EndpointSlices, which traffic waits for, and in one write for many
Pods that change together: the object is rewritten whole each time.
"""


class EndpointsController:
    def __init__(self, client: Client, informers: Informers, events: EventRecorder) -> None:
        self._client = client
        self._events = events
        self._services = informers.informer(SERVICES)
        self._pods = informers.informer(PODS)
        self._endpoints = informers.informer(ENDPOINTS)
        self._controller = Controller("endpoints", self.reconcile)
        selection.index_services(self._services)
        selection.index_pods(self._pods)
        self._orphaned: set[str] = set()
        """Keys of Services that have gone and whose Endpoints, whoever wrote them, have to go too."""
        self._controller.follow(self._services)
        self._controller.follow(self._endpoints)
        self._services.subscribe(self._service_changed)
        self._pods.subscribe(self._pod_changed)

    async def run(self) -> None:
        for informer in (self._services, self._pods, self._endpoints):
            await informer.wait_synced()
        await self._controller.run()

    def _service_changed(self, old: Obj | None, new: Obj | None) -> None:
        if new is not None:
            self._orphaned.discard(key_of(new))
        elif old is not None:
            self._orphaned.add(key_of(old))

    def _pod_changed(self, old: Obj | None, new: Obj | None) -> None:
        if old is not None and new is not None and selection.relevant(old) == selection.relevant(new):
            return
        for pod in (old, new):
            if pod is not None:
                for key in selection.services_of(self._services, pod):
                    self._controller.queue.add_after(key, COALESCE_S)

    async def reconcile(self, key: str) -> float | None:
        service = self._services.get(key)
        existing = self._endpoints.get(key)
        if service is None:
            managed = existing is not None and labels_of(existing).get(MANAGED_BY) == MANAGER
            if key in self._orphaned or managed:
                await self._remove(key, existing)
            self._orphaned.discard(key)
            return None
        if not service["spec"].get("selector") or is_deleting(service):
            return None
        if service["spec"].get("type") == "ExternalName":
            await self._remove(key, existing)
            return None
        wanted = endpoints(service, selection.pods_of(self._pods, service), existing)
        if wanted is None:
            return None
        try:
            if existing is None:
                await self._client.create(ENDPOINTS, wanted)
            else:
                await self._client.update(ENDPOINTS, wanted)
        except StatusError as error:
            if error.code not in (404, 409):
                verb = "Create" if existing is None else "Update"
                message = f"Failed to {verb.lower()} endpoint {key}: {error.message}"
                self._events.event(service, "Warning", f"FailedTo{verb}Endpoint", message)
            raise
        return None

    async def _remove(self, key: str, existing: Obj | None) -> None:
        if existing is None:
            return
        namespace, name = split_key(key)
        try:
            await self._client.delete(
                ENDPOINTS, name, namespace=namespace, revision=existing["metadata"]["resourceVersion"]
            )
        except StatusError as error:
            if error.code != 404:
                raise
