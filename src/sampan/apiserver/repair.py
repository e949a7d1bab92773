"""Puts right what Services and IPAddresses say of each other, should somebody have changed either by hand.

Both are written in one transaction; but IPAddresses can be deleted and made by anybody, stores of before
have none, and a restored backup may have anything. What cannot be put right is told as a Warning about the
Service.

One task owns the work. It is woken by what the caches see and looks only at what changed, once all of a
transaction has been seen (`_note` is called in the middle of one and only notes names). Source: KEP-1880 and
the reasons and messages of upstream's repair of cluster addresses and node ports.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address, ip_address

from sampan.api import clock
from sampan.api.errors import StatusError
from sampan.api.objects import Obj
from sampan.api.request import Request, Transport
from sampan.api.resources import IP_ADDRESSES, SERVICES
from sampan.apiserver.conversion import storage_prefix
from sampan.apiserver.notices import Notices
from sampan.apiserver.registry import ipaddresses, nodeports
from sampan.apiserver.registry.clusterips import addresses_of
from sampan.apiserver.registry.services import ServiceHooks
from sampan.apiserver.watchcache import Change, Hub

GRACE_S = 60.0
"""How long an IPAddress may be there before its Service is."""
RETRY_S = 5.0
AT_ONCE = 64
AUDIT_S = 600.0

log = logging.getLogger(__name__)


class AddressRepair:
    def __init__(self, hub: Hub, services: ServiceHooks, transport: Transport) -> None:
        self._hooks = services
        self._transport = transport
        self._warn = Notices(transport, "ipallocator-repair-controller").warn
        self._warn_of_port = Notices(transport, "portallocator-repair-controller").warn
        self._services = hub.cache(storage_prefix(SERVICES))
        self._objects = hub.cache(storage_prefix(IP_ADDRESSES))
        self._due: dict[str, None] = {}
        self._woken = asyncio.Event()

    async def run(self) -> None:
        """Until cancelled."""
        self._services.listeners.append(self._note)
        self._objects.listeners.append(self._note_object)
        self._due |= dict.fromkeys([*self._services.entries, *self._objects.entries])
        self._woken.set()
        suspects: frozenset[str] = frozenset()
        while True:
            try:
                async with asyncio.timeout(AUDIT_S):
                    await self._woken.wait()
            except TimeoutError:
                suspects = self._hooks.audit(suspects)
                continue
            self._woken.clear()
            while self._due:
                batch = list(itertools.islice(self._due, AT_ONCE))
                for key in batch:
                    del self._due[key]
                await asyncio.gather(*(self._look(key) for key in batch))
                await asyncio.sleep(0)

    def _note(self, change: Change) -> None:
        self._note_key(change.entry.key)

    def _note_object(self, change: Change) -> None:
        self._note_key(change.entry.key)
        # Whose it was, may miss it.
        if change.type == "DELETED" and (owner := ipaddresses.service_of(change.entry.obj)):
            self._note_key(self._key_of(*owner))

    def _note_key(self, key: str) -> None:
        self._due[key] = None
        self._woken.set()

    def _key_of(self, namespace: str, name: str) -> str:
        return f"{self._services.prefix}{namespace}/{name}"

    async def _look(self, key: str) -> None:
        try:
            if key.startswith(self._services.prefix):
                if (entry := self._services.get(key)) is not None:
                    await self._look_at_service(entry.obj)
            elif (entry := self._objects.get(key)) is not None:
                await self._look_at_object(key, entry.obj)
        except StatusError as error:
            if error.code not in (404, 409):
                log.warning("%s: %s", key, error.message)
            asyncio.get_running_loop().call_later(RETRY_S, self._note_key, key)

    # --- Services -------------------------------------------------------------------------------------

    async def _look_at_service(self, service: Obj) -> None:
        for address in addresses_of(service):
            await self._look_at_address(service, ip_address(address))
        for message, reason in self._port_faults(service):
            await self._warn_of_port(service, reason, message)

    async def _look_at_address(self, service: Obj, asked: IPv4Address | IPv6Address) -> None:
        fields, address, family = service["metadata"], str(asked), f"IPv{asked.version}"
        if not self._hooks.addresses.covers(asked):
            why = f"{address} is not within any configured Service CIDR; please recreate service"
            await self._warn(service, "ClusterIPOutOfRange", f"Cluster IP [{family}]: {why}")
            return
        entry = self._objects.get(ipaddresses.key_of(address))
        if entry is None:
            why = f"Cluster IP [{family}]: {address} is not allocated; repairing"
            await self._warn(service, "ClusterIPNotAllocated", why)
            await self._make(address, service)
            return
        owner = ipaddresses.service_of(entry.obj)
        if owner != (fields["namespace"], fields["name"]):
            if owner is not None and self._has(owner, address):
                why = f"{address} was assigned to multiple services; please recreate service"
                await self._warn(service, "ClusterIPAlreadyAllocated", f"Cluster IP [{family}]:{why}")
                return
            why = (
                f"the ClusterIP [{family}]: {address} for Service {fields['namespace']}/{fields['name']} "
                "has a wrong reference; repairing"
            )
            await self._warn(service, "ClusterIPNotAllocated", why)
        elif ipaddresses.is_labelled(entry.obj):
            return
        await self._remove(address)
        await self._make(address, service)

    def _port_faults(self, service: Obj) -> Iterator[tuple[str, str]]:
        """(message, reason) of node ports that another Service has as well, or that are out of range."""
        ports = self._hooks.ports
        for number in sorted(nodeports.held_by(service)):
            if not ports.first <= number <= ports.last:
                within = f"{ports.first}-{ports.last}"
                yield (
                    f"Port {number} is not within the port range {within}; please recreate service",
                    "PortOutOfRange",
                )
            elif ports.pool.holder(number) not in (None, service["metadata"]["uid"]):
                yield (
                    f"Port {number} was assigned to multiple services; please recreate service",
                    "PortAlreadyAllocated",
                )

    def _has(self, owner: tuple[str, str], address: str) -> bool:
        entry = self._services.get(self._key_of(*owner))
        if entry is None:
            return False
        given = list(addresses_of(entry.obj))
        return address in given or address in {str(ip_address(each)) for each in given}

    # --- IPAddresses ----------------------------------------------------------------------------------

    async def _look_at_object(self, key: str, obj: Obj) -> None:
        """What was given to Services must be a Service's; what others made is theirs."""
        if not ipaddresses.is_managed(obj):
            return
        address, owner = obj["metadata"]["name"], ipaddresses.service_of(obj)
        said = f"IPAddress: {address} for Service {'/'.join(owner or ())}"
        if owner is None:
            why = (
                f"IPAddress {address} appears to have been modified, not referencing a Service "
                f"{obj['spec'].get('parentRef')}: cleaning up"
            )
            await self._warn(obj, "IPAddressNotAllocated", why)
        elif self._has(owner, address):
            return
        elif self._services.get(self._key_of(*owner)) is not None:
            why = f"{said} has a wrong reference; cleaning up"
            await self._warn(obj, "IPAddressWrongReference", why)
        else:
            rest_s = clock.parse_time(obj["metadata"]["creationTimestamp"]) + GRACE_S - time.time()
            if rest_s > 0:
                asyncio.get_running_loop().call_later(rest_s, self._note_key, key)
                return
            why = (
                f"IPAddress: {address} for Service {owner[0]}/{owner[1]} appears to have leaked: cleaning up"
            )
            await self._warn(obj, "IPAddressNotAllocated", why)
        await self._remove(address)

    async def _make(self, address: str, service: Obj) -> None:
        fields = service["metadata"]
        body = ipaddresses.wanted(address, fields["namespace"], fields["name"])
        await self._transport.call(Request("create", IP_ADDRESSES, body=body))

    async def _remove(self, address: str) -> None:
        try:
            await self._transport.call(Request("delete", IP_ADDRESSES, "", address))
        except StatusError as error:
            if error.code != 404:
                raise
