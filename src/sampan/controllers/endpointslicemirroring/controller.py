"""Shows the Endpoints of Services without a selector as EndpointSlices, in the turn in which they change.

The slices belong to the Endpoints object, so they also go with it by way of the garbage collector.
"""

from __future__ import annotations

from sampan.api.errors import StatusError
from sampan.api.objects import Obj, is_deleting, key_of
from sampan.api.resources import ENDPOINT_SLICES, ENDPOINTS, SERVICES
from sampan.client.client import Client
from sampan.client.controller import Controller
from sampan.client.events import EventRecorder
from sampan.client.informers import Informers
from sampan.controllers.endpointslicemirroring.plan import MANAGER, MOST_ENDPOINTS, is_mirrored, plan, skipped
from sampan.controllers.slicetracker import Tracker
from sampan.controllers.slicewrites import Plan, SliceWriter


class EndpointSliceMirroringController:
    def __init__(self, client: Client, informers: Informers, events: EventRecorder) -> None:
        self._events = events
        self._endpoints = informers.informer(ENDPOINTS)
        self._services = informers.informer(SERVICES)
        self._slices = informers.informer(ENDPOINT_SLICES)
        self._tracker = Tracker(self._slices, MANAGER)
        self._writer = SliceWriter(client, self._tracker)
        self._controller = Controller("endpointslicemirroring", self.reconcile)
        self._endpoints.subscribe(self._changed)
        self._services.subscribe(self._changed)
        self._slices.subscribe(self._slice_changed)

    async def run(self) -> None:
        for informer in (self._endpoints, self._services, self._slices):
            await informer.wait_synced()
        await self._controller.run()

    def _changed(self, old: Obj | None, new: Obj | None) -> None:
        """Takes a change of Endpoints or Services; most have a selector and concern nobody here."""
        obj = new or old
        assert obj is not None
        key = key_of(obj)
        service = self._services.get(key)
        by_hand = service is not None and not service["spec"].get("selector")
        if by_hand or self._tracker.slices_of(key):
            self._controller.enqueue(key)

    def _slice_changed(self, old: Obj | None, new: Obj | None) -> None:
        keys = {self._tracker.service_key(piece) for piece in (old, new) if piece is not None} - {""}
        if keys and self._tracker.observe(old, new):
            for key in keys:
                self._controller.enqueue(key)

    async def reconcile(self, key: str) -> None:
        endpoints, service = self._endpoints.get(key), self._services.get(key)
        existing = [piece for piece in self._tracker.slices_of(key) if not is_deleting(piece)]
        if (
            endpoints is None
            or service is None
            or is_deleting(endpoints)
            or not is_mirrored(endpoints, service)
        ):
            await self._writer.carry_out(key, Plan(delete=tuple(existing)))
            return
        step = plan(endpoints, existing)
        if step and (beyond := skipped(endpoints)):
            message = (
                f"A max of {MOST_ENDPOINTS} addresses can be mirrored to EndpointSlices per Endpoints "
                f"subset. {beyond} addresses were skipped"
            )
            self._events.event(endpoints, "Warning", "TooManyAddressesToMirror", message)
        try:
            await self._writer.carry_out(key, step)
        except StatusError as error:
            if error.code not in (404, 409):
                message = f"Error updating Endpoint Slices for Endpoints {key}: {error.message}"
                self._events.event(endpoints, "Warning", "FailedToUpdateEndpointSlices", message)
            raise
