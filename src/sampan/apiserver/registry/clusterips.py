"""Cluster addresses: pools that follow the ServiceCIDRs, and the IPAddress objects of what was given out.

What can be given out is what ready ServiceCIDRs say, for the families that the cluster is configured for. An
address is taken if a Service has it (or is about to), or if an IPAddress object of its name is there.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import partial
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from sampan.api import clock, errors
from sampan.api.errors import FieldError, invalid_value
from sampan.api.objects import Obj
from sampan.api.resources import IP_ADDRESSES, SERVICE_CIDRS
from sampan.apiserver.conversion import storage_prefix
from sampan.apiserver.entry import stamp
from sampan.apiserver.registry import ipaddresses
from sampan.apiserver.registry.addresses import Exhausted, OutOfRange, Pool, Taken, address_range
from sampan.apiserver.registry.families import HEADLESS, family_of
from sampan.apiserver.watchcache import Change, Hub
from sampan.store.contract import ABSENT, Delete, Op, Put

READY = "Ready"
_TYPES: dict[str, type[IPv4Address] | type[IPv6Address]] = {"IPv4": IPv4Address, "IPv6": IPv6Address}


class ClusterIPs:
    """`cidrs` are the configured ranges, the primary one first. Until there is any ServiceCIDR of a family
    these are what is given out.
    """

    def __init__(self, hub: Hub, cidrs: Sequence[str]) -> None:
        self._configured = {family_of(cidr): cidr for cidr in cidrs}
        self.families: tuple[str, ...] = tuple(self._configured)
        self._objects = hub.cache(storage_prefix(IP_ADDRESSES))
        self._pools = {family: Pool((), partial(self._has_object, family)) for family in self.families}
        self._cidrs = hub.cache(storage_prefix(SERVICE_CIDRS))
        self._networks: list[IPv4Network | IPv6Network] = []
        self._cidrs.listeners.append(self._ranges_changed)
        self._read_ranges()

    @property
    def pools(self) -> Collection[Pool]:
        return self._pools.values()

    # --- giving out -----------------------------------------------------------------------------------

    def take(self, spec: Obj, kept: Collection[str], owner: str, taken: list[str]) -> FieldError | None:
        """An address of each family in `spec`, those that it names already among them; the Service has those
        in `kept`. What was reserved is added to `taken`; answers what cannot be had.
        """
        addresses = list(spec.get("clusterIPs") or ())
        if addresses[:1] == [HEADLESS]:
            return None
        families = spec.get("ipFamilies") or ()
        addresses += [""] * (len(families) - len(addresses))
        for index, (family, asked) in enumerate(zip(families, addresses, strict=False)):
            if asked and asked in kept:
                continue
            pool = self._pools[family]
            try:
                if asked:
                    if pool.take(int(ipaddress.ip_address(asked)), owner):
                        taken.append(asked)
                else:
                    addresses[index] = str(_TYPES[family](pool.take_any(owner)))
                    taken.append(addresses[index])
            except Exhausted:
                raise errors.internal("failed to allocate a serviceIP: range is full") from None
            except Taken:
                return _refused(asked, addresses, "provided IP is already allocated")
            except OutOfRange:
                return _refused(asked, addresses, self._out_of_range(family, asked))
        spec["clusterIPs"] = addresses
        spec["clusterIP"] = addresses[0]
        return None

    def hold(self, addresses: Iterable[str], owner: str) -> None:
        for address in addresses:
            if (pool := self._pools.get(family_of(address))) is not None:
                pool.hold(int(ipaddress.ip_address(address)), owner)

    def give_back(self, addresses: Iterable[str], owner: str) -> None:
        for address in addresses:
            if (pool := self._pools.get(family_of(address))) is not None:
                pool.give_back([int(ipaddress.ip_address(address))], owner)

    def holder(self, address: str) -> str | None:
        """The uid of the Service that holds an address or is about to."""
        pool = self._pools.get(family_of(address))
        return pool.holder(int(ipaddress.ip_address(address))) if pool is not None else None

    def covers(self, address: IPv4Address | IPv6Address) -> bool:
        """Whether any ServiceCIDR has it in its ranges, be it ready or not."""
        return any(address in network for network in self._networks)

    def held(self) -> Iterator[str]:
        """All addresses that Services have or are about to."""
        for family, pool in self._pools.items():
            yield from (str(_TYPES[family](number)) for number in pool)

    # --- the objects ----------------------------------------------------------------------------------

    def objects(self, new: Obj | None, old: Obj | None) -> Iterator[Op]:
        """What is to be written with the change of a Service from `old` to `new`."""
        now = set(addresses_of(new)) if new is not None else set()
        was = set(addresses_of(old)) if old is not None else set()
        for address in sorted(was - now):
            if old is not None:
                yield from self._removal(address, old)
        for address in sorted(now - was):
            if new is not None:
                canonical = str(ipaddress.ip_address(address))
                yield Put(ipaddresses.key_of(canonical), stamp(ipaddresses.made(canonical, new)), ABSENT)

    def _removal(self, address: str, service: Obj) -> Iterator[Op]:
        key = ipaddresses.key_of(ipaddress.ip_address(address))
        entry = self._objects.get(key)
        if entry is None:
            return
        obj, fields = entry.copy(), service["metadata"]
        if ipaddresses.service_of(obj) != (fields["namespace"], fields["name"]):
            return  # somebody else's; whose it really is, is seen to by the repair
        obj["metadata"].pop("resourceVersion", None)
        if not obj["metadata"].get("finalizers"):
            yield Delete(key, stamp(obj))
        elif not obj["metadata"].get("deletionTimestamp"):
            obj["metadata"] |= {"deletionTimestamp": clock.now(), "deletionGracePeriodSeconds": 0}
            yield Put(key, stamp(obj), entry.revision)

    def _has_object(self, family: str, number: int) -> bool:
        return ipaddresses.key_of(_TYPES[family](number)) in self._objects.entries

    # --- ranges ---------------------------------------------------------------------------------------

    def _ranges_changed(self, change: Change) -> None:
        self._read_ranges()

    def _read_ranges(self) -> None:
        """The oldest ServiceCIDR gives first, as the cluster's own is the oldest of all."""
        known: set[str] = set()
        self._networks = []
        given: dict[str, list[str]] = {family: [] for family in self.families}
        objects = [entry.obj for entry in self._cidrs.entries.values()]
        for obj in sorted(objects, key=lambda obj: str(obj["metadata"]["creationTimestamp"])):
            for cidr in (obj.get("spec") or {}).get("cidrs") or ():
                family = family_of(cidr)
                known.add(family)
                self._networks.append(ipaddress.ip_network(cidr))
                if family in given and gives(obj):
                    given[family].append(cidr)
        for family, configured in self._configured.items():
            if family not in known:
                given[family] = [configured]
            self._pools[family].ranges = tuple(map(address_range, dict.fromkeys(given[family])))
        self._given = given

    def _out_of_range(self, family: str, address: str) -> str:
        """Upstream names the range only for its ends, which nobody may have."""
        asked = ipaddress.ip_address(address)
        for cidr in self._given[family]:
            if asked in ipaddress.ip_network(cidr):
                return (
                    f"the provided IP ({asked}) is not in the valid range. The range of valid IPs is {cidr}"
                )
        return "the provided network does not match the current range"


def gives(service_cidr: Obj) -> bool:
    """Whether new Services may have addresses of a ServiceCIDR: it is ready, and stays."""
    if service_cidr["metadata"].get("deletionTimestamp"):
        return False
    conditions = (service_cidr.get("status") or {}).get("conditions") or ()
    return next((each["status"] == "True" for each in conditions if each["type"] == READY), True)


def addresses_of(service: Obj) -> Iterator[str]:
    """The cluster addresses that a Service has."""
    spec = service["spec"]
    if spec.get("type") == "ExternalName":
        return
    for address in spec.get("clusterIPs") or [spec.get("clusterIP")]:
        if address and address != HEADLESS:
            yield address


def _refused(asked: str, addresses: list[str], why: str) -> FieldError:
    shown = [address for address in addresses if address]
    return invalid_value("spec.clusterIPs", shown, f"failed to allocate IP {asked}: {why}")
