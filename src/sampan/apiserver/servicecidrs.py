"""Looks after ServiceCIDRs: those that stay are ready, those that are to go wait for their last address.

One task owns all of it. It is woken by what the caches see (`_changed` is called in the step in which a cache
changes, and only notes names) and acts through the API. The pools stop giving addresses of a ServiceCIDR in
the step in which its deletion is seen, and count what is about to be written; so nothing can be given out
between the last look and the end of the object. Source: KEP-1880.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Iterable
from ipaddress import ip_address, ip_network

from sampan.api import clock
from sampan.api.errors import StatusError
from sampan.api.objects import Obj
from sampan.api.request import MERGE_PATCH, Request, Transport
from sampan.api.resources import SERVICE_CIDRS, SERVICES
from sampan.apiserver.conversion import storage_prefix
from sampan.apiserver.registry.clusterips import READY, ClusterIPs
from sampan.apiserver.watchcache import Change, Hub

FINALIZER = "networking.k8s.io/service-cidr-finalizer"
RETRY_S = 5.0
IS_READY = "Kubernetes Service CIDR is ready"
IN_USE = (
    "There are still IPAddresses referencing the ServiceCIDR, please remove them or create a new ServiceCIDR"
)

log = logging.getLogger(__name__)


class ServiceCIDRs:
    def __init__(self, hub: Hub, addresses: ClusterIPs, transport: Transport) -> None:
        self._addresses = addresses
        self._transport = transport
        self._cache = hub.cache(storage_prefix(SERVICE_CIDRS))
        self._services = hub.cache(storage_prefix(SERVICES))
        self._due = asyncio.Event()
        self._going = False
        """Whether any is on its way out: only then do Services matter."""

    async def run(self) -> None:
        """Until cancelled."""
        self._cache.listeners.append(self._changed)
        self._services.listeners.append(self._released)
        self._due.set()
        while True:
            await self._due.wait()
            self._due.clear()
            objects = [entry.copy() for entry in self._cache.entries.values()]
            self._going = any(_is_going(obj) for obj in objects)
            for obj in objects:
                try:
                    await self._settle(obj, objects)
                except StatusError as error:
                    if error.code not in (404, 409):  # then there is news of it anyway
                        log.warning("ServiceCIDR %s: %s", obj["metadata"]["name"], error.message)
                        await asyncio.sleep(RETRY_S)
                        self._due.set()

    def _changed(self, change: Change) -> None:
        self._due.set()

    def _released(self, change: Change) -> None:
        if self._going and change.type != "ADDED":
            self._due.set()

    async def _settle(self, obj: Obj, objects: Iterable[Obj]) -> None:
        finalizers = list(obj["metadata"].get("finalizers") or ())
        if not _is_going(obj):
            if FINALIZER not in finalizers:
                await self._set_finalizers(obj, [*finalizers, FINALIZER])
            await self._show(obj, "True", "", IS_READY)
        elif FINALIZER in finalizers:
            others = [each for each in objects if each is not obj and not _is_going(each)]
            held = self._addresses.held()
            if orphans(obj, others, held):
                await self._show(obj, "False", "Terminating", IN_USE)
            else:
                finalizers.remove(FINALIZER)
                await self._set_finalizers(obj, finalizers)

    async def _show(self, obj: Obj, status: str, reason: str, message: str) -> None:
        """The Ready condition; a message that somebody else wrote to the same effect is left alone."""
        conditions = list((obj.get("status") or {}).get("conditions") or ())
        present = next((each for each in conditions if each["type"] == READY), None)
        if present is not None and (present["status"], present.get("reason", "")) == (status, reason):
            return
        wanted = {
            "type": READY,
            "status": status,
            "reason": reason,
            "message": message,
            "lastTransitionTime": clock.now(),
        }
        rest = [each for each in conditions if each["type"] != READY]
        await self._patch(obj, {"status": {"conditions": [*rest, wanted]}}, "status")

    async def _set_finalizers(self, obj: Obj, finalizers: list[str]) -> None:
        revision = obj["metadata"]["resourceVersion"]
        await self._patch(obj, {"metadata": {"finalizers": finalizers, "resourceVersion": revision}})

    async def _patch(self, obj: Obj, body: Obj, subresource: str = "") -> None:
        name = obj["metadata"]["name"]
        await self._transport.call(
            Request("patch", SERVICE_CIDRS, "", name, subresource, body=body, content_type=MERGE_PATCH)
        )


def orphans(going: Obj, staying: Iterable[Obj], held: Iterable[str]) -> Collection[str]:
    """The addresses in use that would belong to no ServiceCIDR without the one that is to go."""
    own = [ip_network(cidr) for cidr in going["spec"].get("cidrs") or ()]
    others = [ip_network(cidr) for obj in staying for cidr in obj["spec"].get("cidrs") or ()]
    addresses = [ip_address(text) for text in held]
    return [
        str(address)
        for address in addresses
        if any(address in network for network in own) and not any(address in network for network in others)
    ]


def _is_going(obj: Obj) -> bool:
    return bool(obj["metadata"].get("deletionTimestamp"))
