"""Writes the EndpointSlices of every Service that has a selector, within the turn of the loop that a Pod's
change arrives in: no batching, no delay. Which Pod's change concerns which Service, `selection` knows.

A reconcile reads and plans without awaiting; what changes while it writes is in the queue again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from sampan.api.errors import StatusError
from sampan.api.objects import Obj, key_of, name_of
from sampan.api.resources import ENDPOINT_SLICES, NODES, PODS, SERVICES
from sampan.client.client import Client
from sampan.client.controller import Controller
from sampan.client.events import EventRecorder
from sampan.client.informers import Informers
from sampan.controllers import placement, selection
from sampan.controllers.endpointslice.endpoints import Group, desired, is_auto
from sampan.controllers.endpointslice.nodes import Nodes
from sampan.controllers.endpointslice.picture import WORTH_KEEPING, Picture
from sampan.controllers.endpointslice.plan import MANAGER, plan
from sampan.controllers.endpointslice.topology import Topology
from sampan.controllers.slicetracker import Tracker
from sampan.controllers.slicewrites import Plan, SliceWriter
from sampan.controllers.triggertimes import TriggerTimes

Endpoints: TypeAlias = dict[Group, dict[str, Obj]]

TOPOLOGY_INDEX = "topology"


class EndpointSliceController:
    def __init__(self, client: Client, informers: Informers, events: EventRecorder) -> None:
        self._events = events
        self._services = informers.informer(SERVICES)
        self._pods = informers.informer(PODS)
        self._node_informer = informers.informer(NODES)
        self._slices = informers.informer(ENDPOINT_SLICES)
        self._nodes = Nodes()
        self._pictures: dict[str, Picture] = {}
        """By Service key, of those that select many Pods."""
        self._triggers = TriggerTimes()
        self._topology = Topology(events, self._nodes)
        self._tracker = Tracker(self._slices, MANAGER)
        self._writer = SliceWriter(client, self._tracker)
        self._controller = Controller("endpointslice", self.reconcile)
        selection.index_services(self._services)
        selection.index_pods(self._pods)
        placement.index_pods(self._pods)
        self._services.add_index(TOPOLOGY_INDEX, lambda service: ("auto",) if is_auto(service) else ())
        self._controller.follow(self._services)
        self._services.subscribe(self._service_changed)
        self._pods.subscribe(self._pod_changed)
        self._slices.subscribe(self._slice_changed)
        self._node_informer.subscribe(self._node_changed)

    async def run(self) -> None:
        for informer in (self._services, self._pods, self._node_informer, self._slices):
            await informer.wait_synced()
        await self._controller.run()

    # --- what wakes it

    def _service_changed(self, old: Obj | None, new: Obj | None) -> None:
        if new is None and old is not None:
            self._triggers.forget(old)
            self._topology.forget(key_of(old))
            self._pictures.pop(key_of(old), None)

    def _pod_changed(self, old: Obj | None, new: Obj | None) -> None:
        if old is not None and new is not None and selection.relevant(old) == selection.relevant(new):
            return
        for pod in (old, new):
            if pod is not None:
                self._enqueue_services_of(pod)

    def _enqueue_services_of(self, pod: Obj) -> None:
        for key in selection.services_of(self._services, pod):
            if (picture := self._pictures.get(key)) is not None:
                picture.stale.add(key_of(pod))
            self._controller.enqueue(key)

    def _slice_changed(self, old: Obj | None, new: Obj | None) -> None:
        keys = {self._tracker.service_key(piece) for piece in (old, new) if piece is not None} - {""}
        if keys and self._tracker.observe(old, new):
            for key in keys:
                self._controller.enqueue(key)

    def _node_changed(self, old: Obj | None, new: Obj | None) -> None:
        node = new or old
        assert node is not None
        moved, shifted = self._nodes.change(old, new)
        if moved:
            for pod in placement.pods_on(self._pods, name_of(node)):
                self._enqueue_services_of(pod)
        if shifted:
            for service in self._services.by_index(TOPOLOGY_INDEX, "auto"):
                self._controller.enqueue(key_of(service))

    # --- what it does

    async def reconcile(self, key: str) -> None:
        try:
            await self._reconcile(key)
        except StatusError as error:
            service = self._services.get(key)
            if error.code not in (404, 409) and service is not None:
                message = f"Error updating Endpoint Slices for Service {key}: {error.message}"
                self._events.event(service, "Warning", "FailedToUpdateEndpointSlices", message)
            raise

    async def _reconcile(self, key: str) -> None:
        service = self._services.get(key)
        existing = self._tracker.slices_of(key)
        if service is None:
            # They go with it, by their owner reference; a namesake is not to find them.
            await self._writer.carry_out(key, Plan(delete=tuple(existing)))
            return
        if service["spec"].get("type") == "ExternalName" or not service["spec"].get("selector"):
            # Without a selector others write the slices; those made while it had one are left to them.
            external = service["spec"].get("type") == "ExternalName"
            await self._writer.carry_out(key, Plan(delete=tuple(existing) if external else ()))
            return
        wanted, trigger_time = self._look(key, service)
        if is_auto(service):
            wanted = self._topology.apply(service, wanted, existing)
        else:
            self._topology.leave(service)
        try:
            await self._writer.carry_out(key, self._plan(key, service, wanted, existing, trigger_time))
        except BaseException:
            self._pictures.pop(key, None)  # what it knows of slices may not have come true
            raise

    def _plan(
        self, key: str, service: Obj, wanted: Endpoints, existing: Sequence[Obj], trigger_time: str
    ) -> Plan:
        picture = self._pictures.get(key)
        if picture is None or is_auto(service):  # there, each endpoint's hint depends on all others
            return plan(service, wanted, existing, trigger_time)
        step = plan(service, wanted, existing, trigger_time, picture.narrow(existing))
        picture.note(step)
        return step

    def _look(self, key: str, service: Obj) -> tuple[Endpoints, str]:
        """(the endpoints that it should have, what time the change happened)."""
        picture = self._pictures.get(key)
        if picture is not None and picture.service is service and len(picture) >= WORTH_KEEPING:
            trigger_time = self._bring_up_to_date(picture)
            return picture.desired(), trigger_time
        pods = selection.pods_of(self._pods, service)
        trigger_time = self._triggers.look(service, pods)
        if len(pods) < WORTH_KEEPING:
            self._pictures.pop(key, None)
            return desired(service, pods, self._nodes.zones), trigger_time
        picture = self._pictures[key] = Picture(service, self._nodes.zones)
        for pod in pods:
            picture.put(key_of(pod), pod)
        return picture.desired(), trigger_time

    def _bring_up_to_date(self, picture: Picture) -> str:
        changed: list[Obj] = []
        gone: list[str] = []
        for key in list(picture.stale):
            pod = self._pods.get(key)
            if pod is not None and selection.selects(picture.service, pod):
                picture.put(key, pod)
                changed.append(pod)
            else:
                picture.put(key, None)
                gone.append(key)
        return self._triggers.look_again(picture.service, changed, gone)
