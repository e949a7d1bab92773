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
from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with `subject` (told as a Warning if there is a `reason`), and what mends it: the
    IPAddress to `remove`, the one to `make` for the subject.
    """

    subject: Obj
    reason: str = ""
    message: str = ""
    remove: str = ""
    make: str = ""


class AddressRepair:
    def __init__(self, hub: Hub, services: ServiceHooks, transport: Transport) -> None:
        self._hooks = services
        self._transport = transport
        self._of_addresses = Notices(transport, "ipallocator-repair-controller")
        self._of_ports = Notices(transport, "portallocator-repair-controller")
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
                faults = [(key, fault) for key in batch for fault in self._faults(key)]
                await asyncio.gather(*(self._mend(key, fault) for key, fault in faults))
                await asyncio.sleep(0)

    def _note(self, change: Change) -> None:
        self._note_key(change.entry.key)

    def _note_object(self, change: Change) -> None:
        self._note_key(change.entry.key)
        # Whose it is, may miss it or what was in it.
        if change.type != "ADDED" and (owner := ipaddresses.service_of(change.entry.obj)):
            self._note_key(self._key_of(*owner))

    def _note_key(self, key: str) -> None:
        self._due[key] = None
        self._woken.set()

    def _key_of(self, namespace: str, name: str) -> str:
        return f"{self._services.prefix}{namespace}/{name}"

    # --- what is wrong --------------------------------------------------------------------------------

    def _faults(self, key: str) -> Iterator[Fault]:
        if key.startswith(self._services.prefix):
            if (entry := self._services.get(key)) is not None:
                service = entry.obj
                for address in addresses_of(service):
                    yield from self._of_address(service, ip_address(address))
                yield from self._of_node_ports(service)
        elif (entry := self._objects.get(key)) is not None:
            yield from self._of_object(key, entry.obj)

    def _of_address(self, service: Obj, asked: IPv4Address | IPv6Address) -> Iterator[Fault]:
        fields, address, family = service["metadata"], str(asked), f"IPv{asked.version}"
        if not self._hooks.addresses.covers(asked):
            why = f"{address} is not within any configured Service CIDR; please recreate service"
            yield Fault(service, "ClusterIPOutOfRange", f"Cluster IP [{family}]: {why}")
            return
        entry = self._objects.get(ipaddresses.key_of(address))
        if entry is None:
            why = f"Cluster IP [{family}]: {address} is not allocated; repairing"
            yield Fault(service, "ClusterIPNotAllocated", why, make=address)
            return
        owner = ipaddresses.service_of(entry.obj)
        if owner == (fields["namespace"], fields["name"]):
            if not ipaddresses.is_labelled(entry.obj):
                yield Fault(service, remove=address, make=address)
        elif owner is not None and self._has(owner, address):
            why = f"{address} was assigned to multiple services; please recreate service"
            yield Fault(service, "ClusterIPAlreadyAllocated", f"Cluster IP [{family}]:{why}")
        else:
            named = f"{fields['namespace']}/{fields['name']}"
            why = f"the ClusterIP [{family}]: {address} for Service {named} has a wrong reference; repairing"
            yield Fault(service, "ClusterIPNotAllocated", why, remove=address, make=address)

    def _of_node_ports(self, service: Obj) -> Iterator[Fault]:
        """Node ports that another Service has as well, or that are out of range."""
        ports = self._hooks.ports
        for number in sorted(nodeports.held_by(service)):
            if not ports.first <= number <= ports.last:
                why = f"Port {number} is not within the port range {ports.first}-{ports.last}"
                yield Fault(service, "PortOutOfRange", f"{why}; please recreate service")
            elif ports.pool.holder(number) not in (None, service["metadata"]["uid"]):
                why = f"Port {number} was assigned to multiple services"
                yield Fault(service, "PortAlreadyAllocated", f"{why}; please recreate service")

    def _of_object(self, key: str, obj: Obj) -> Iterator[Fault]:
        """What was given to Services must be a Service's; what others made is theirs."""
        if not ipaddresses.is_managed(obj):
            return
        address, owner = obj["metadata"]["name"], ipaddresses.service_of(obj)
        if owner is None:
            why = f"IPAddress {address} appears to have been modified, not referencing a Service"
            parent = (obj.get("spec") or {}).get("parentRef")
            yield Fault(obj, "IPAddressNotAllocated", f"{why} {parent}: cleaning up", remove=address)
            return
        if self._has(owner, address):
            return
        said = f"IPAddress: {address} for Service {'/'.join(owner)}"
        if self._services.get(self._key_of(*owner)) is not None:
            why = f"{said} has a wrong reference; cleaning up"
            yield Fault(obj, "IPAddressWrongReference", why, remove=address)
            return
        rest_s = clock.parse_time(obj["metadata"]["creationTimestamp"]) + GRACE_S - time.time()
        if rest_s > 0:
            asyncio.get_running_loop().call_later(rest_s, self._note_key, key)
            return
        why = f"{said} appears to have leaked: cleaning up"
        yield Fault(obj, "IPAddressNotAllocated", why, remove=address)

    def _has(self, owner: tuple[str, str], address: str) -> bool:
        entry = self._services.get(self._key_of(*owner))
        if entry is None:
            return False
        given = list(addresses_of(entry.obj))
        return address in given or address in {str(ip_address(each)) for each in given}

    # --- and mended -----------------------------------------------------------------------------------

    async def _mend(self, key: str, fault: Fault) -> None:
        """Tells and acts; when somebody else was faster or nothing can be written, looks again later."""
        try:
            if fault.reason:
                notices = self._of_ports if fault.reason.startswith("Port") else self._of_addresses
                await notices.warn(fault.subject, fault.reason, fault.message)
            if fault.remove:
                await self._remove(fault.remove)
            if fault.make:
                fields = fault.subject["metadata"]
                body = ipaddresses.wanted(fault.make, fields["namespace"], fields["name"])
                await self._transport.call(Request("create", IP_ADDRESSES, body=body))
        except StatusError as error:
            if error.code != 409:
                log.warning("%s: %s", key, error.message)
            asyncio.get_running_loop().call_later(RETRY_S, self._note_key, key)

    async def _remove(self, address: str) -> None:
        try:
            await self._transport.call(Request("delete", IP_ADDRESSES, "", address))
        except StatusError as error:
            if error.code != 404:
                raise
