"""Keeps the Endpoints object beside every Service that has a selector; all others are the user's.

A write from an old cache is refused (409) and made anew: the object has the Service's name, and every update
the revision it was made from.
"""

from __future__ import annotations

from sampan.api.errors import StatusError
from sampan.api.objects import Obj, is_deleting, key_of, labels_of, revision_of, split_key
from sampan.api.resources import ENDPOINTS, PODS, SERVICES
from sampan.client.client import Client
from sampan.client.controller import Controller
from sampan.client.events import EventRecorder
from sampan.client.informers import Informers
from sampan.controllers import selection
from sampan.controllers.endpoints.subsets import MANAGED_BY, MANAGER, endpoints, size
from sampan.controllers.slicewrites import is_namespace_going
from sampan.controllers.triggertimes import TriggerTimes

COALESCE_S = 0.005
COALESCE_EACH_S = 0.0001
"""For every address there is. Endpoints follow Pods a bit later than EndpointSlices, which traffic waits for,
and in one write for many Pods that change together: the object is rewritten whole each time, so the longer it
is, the longer others are waited for.
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
        self._triggers = TriggerTimes()
        self._written: dict[str, int] = {}
        """By key, the revision of a write whose echo is still to come."""
        self._orphaned: set[str] = set()
        """Keys of Services that have gone and whose Endpoints, whoever wrote them, have to go too."""
        self._controller.follow(self._services)
        self._endpoints.subscribe(self._endpoints_changed)
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
            self._triggers.forget(old)

    def _endpoints_changed(self, old: Obj | None, new: Obj | None) -> None:
        """What others do to them is undone; the echo of an own write is nothing to look at."""
        obj = new or old
        assert obj is not None
        written = self._written.pop(key_of(obj), None)
        if new is None or revision_of(new) != written:
            self._controller.enqueue(key_of(obj))

    def _pod_changed(self, old: Obj | None, new: Obj | None) -> None:
        if old is not None and new is not None and selection.relevant(old) == selection.relevant(new):
            return
        for pod in (old, new):
            if pod is not None:
                for key in selection.services_of(self._services, pod):
                    self._controller.queue.add_after(key, self._patience_s(key))

    def _patience_s(self, key: str) -> float:
        return COALESCE_S + COALESCE_EACH_S * size(self._endpoints.get(key))

    async def reconcile(self, key: str) -> None:
        service = self._services.get(key)
        existing = self._endpoints.get(key)
        if service is None:
            managed = existing is not None and labels_of(existing).get(MANAGED_BY) == MANAGER
            if key in self._orphaned or managed:
                await self._remove(key, existing)
            self._orphaned.discard(key)
            return
        if not service["spec"].get("selector") or (is_deleting(service) and existing is None):
            return
        if service["spec"].get("type") == "ExternalName":
            await self._remove(key, existing)
            return
        pods = selection.pods_of(self._pods, service)
        wanted = endpoints(service, pods, existing, self._triggers.look(service, pods))
        if wanted is None:
            return
        try:
            write = self._client.create if existing is None else self._client.update
            self._wrote(key, await write(ENDPOINTS, wanted))
        except StatusError as error:
            if is_namespace_going(error):
                return
            if error.code not in (404, 409):
                verb = "Create" if existing is None else "Update"
                message = f"Failed to {verb.lower()} endpoint {key}: {error.message}"
                self._events.event(service, "Warning", f"FailedTo{verb}Endpoint", message)
            raise

    def _wrote(self, key: str, obj: Obj) -> None:
        seen = self._endpoints.get(key)
        if seen is None or revision_of(seen) < revision_of(obj):
            self._written[key] = revision_of(obj)

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
