"""Writes the EndpointSlices of every Service that has a selector, within the turn of the loop that a Pod's
change arrives in: no batching, no delay. Which Pod's change concerns which Service, `selection` knows.
"""

from __future__ import annotations

from sampan.api.errors import StatusError
from sampan.api.objects import Obj, is_deleting, key_of, labels_of, name_of
from sampan.api.resources import ENDPOINT_SLICES, NODES, PODS, SERVICES
from sampan.client.client import Client
from sampan.client.controller import Controller
from sampan.client.events import EventRecorder
from sampan.client.informers import Informers
from sampan.controllers import selection
from sampan.controllers.endpointslice.endpoints import ZONE_LABEL, desired
from sampan.controllers.endpointslice.plan import MANAGER, plan
from sampan.controllers.slicetracker import Tracker
from sampan.controllers.slicewrites import Plan, SliceWriter


class EndpointSliceController:
    def __init__(self, client: Client, informers: Informers, events: EventRecorder) -> None:
        self._events = events
        self._services = informers.informer(SERVICES)
        self._pods = informers.informer(PODS)
        self._nodes = informers.informer(NODES)
        self._slices = informers.informer(ENDPOINT_SLICES)
        self._zones: dict[str, str] = {}
        self._tracker = Tracker(self._slices, MANAGER)
        self._writer = SliceWriter(client, self._tracker)
        self._controller = Controller("endpointslice", self.reconcile)
        selection.index_services(self._services)
        selection.index_pods(self._pods)
        self._controller.follow(self._services)
        self._pods.subscribe(self._pod_changed)
        self._slices.subscribe(self._slice_changed)
        self._nodes.subscribe(self._node_changed)

    async def run(self) -> None:
        for informer in (self._services, self._pods, self._nodes, self._slices):
            await informer.wait_synced()
        await self._controller.run()

    # --- what wakes it

    def _pod_changed(self, old: Obj | None, new: Obj | None) -> None:
        if old is not None and new is not None and selection.relevant(old) == selection.relevant(new):
            return
        for pod in (old, new):
            if pod is not None:
                for key in selection.services_of(self._services, pod):
                    self._controller.enqueue(key)

    def _slice_changed(self, old: Obj | None, new: Obj | None) -> None:
        keys = {self._tracker.service_key(piece) for piece in (old, new) if piece is not None} - {""}
        if keys and self._tracker.observe(old, new):
            for key in keys:
                self._controller.enqueue(key)

    def _node_changed(self, old: Obj | None, new: Obj | None) -> None:
        node = new or old
        assert node is not None
        zone = labels_of(new).get(ZONE_LABEL, "") if new is not None else ""
        if zone == self._zones.get(name_of(node), ""):
            return
        self._zones[name_of(node)] = zone
        for service in self._services.list():
            self._controller.enqueue(key_of(service))

    # --- what it does

    async def reconcile(self, key: str) -> float | None:
        service = self._services.get(key)
        if service is None or is_deleting(service):
            # Its slices go with it, by their owner reference; a namesake finds none of the old.
            await self._writer.carry_out(key, Plan(delete=tuple(self._tracker.slices_of(key))))
            return None
        existing = self._tracker.slices_of(key)
        if service["spec"].get("type") == "ExternalName" or not service["spec"].get("selector"):
            # Without a selector others write the slices; those made while it had one are left to them.
            external = service["spec"].get("type") == "ExternalName"
            await self._writer.carry_out(key, Plan(delete=tuple(existing) if external else ()))
            return None
        wanted = desired(service, selection.pods_of(self._pods, service), self._zones)
        try:
            await self._writer.carry_out(key, plan(service, wanted, existing))
        except StatusError as error:
            if error.code not in (404, 409):
                message = f"Error updating Endpoint Slices for Service {key}: {error.message}"
                self._events.event(service, "Warning", "FailedToUpdateEndpointSlices", message)
            raise
        return None
