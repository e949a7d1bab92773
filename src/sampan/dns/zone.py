"""The zone: every name there is now, what to answer to a question, and whose answers a change has changed.

Owned by the event loop; changes and look-ups never interleave. A record has an owner, the Service or the
slice it came from, so that one slice of a Service with a thousand endpoints changes at the cost of a slice.
"""

from __future__ import annotations

import ipaddress
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from sampan.api.objects import Obj, join_key, namespace_of
from sampan.dns.records import Naming, RecordSet, service_records, slice_records
from sampan.dns.wire import (
    AAAA,
    ANY,
    CNAME,
    NOERROR,
    NS,
    NXDOMAIN,
    SOA,
    SRV,
    TXT,
    A,
    Record,
    address_data,
    encode_name,
    soa_data,
    txt_data,
)

SERVICE_NAME_LABEL = "kubernetes.io/service-name"
SPECIFICATION = "1.1.0"

MAX_ALIASES = 8

Types = dict[int, list[Record]]


@dataclass(frozen=True, slots=True)
class Answer:
    """What to say.

    `leads_to`: a name outside the zone that a CNAME points at, still to be looked up. `rests_on`: names
    other than the one asked for; when one of these changes, so may the answer.
    """

    rcode: int
    answers: Sequence[Record] = ()
    authority: Sequence[Record] = ()
    additional: Sequence[Record] = ()
    leads_to: str = ""
    rests_on: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class ZonePlan:
    """What a zone is besides its Services.

    `servers`: the addresses of the DNS server itself. `ranges`: networks whose reverse names are answered
    here even if nobody has them. `has_pod`: whether some Pod of the namespace has the address, for pods mode
    `verified`; with None every address that can be written has a name (`insecure`).
    """

    naming: Naming = field(default_factory=Naming)
    servers: Sequence[str] = ()
    ranges: Sequence[str] = ()
    pods: bool = True
    has_pod: Callable[[str, str], bool] | None = None


class Zone:
    """The names of one cluster domain, kept current by `set_*`; `serial` grows with every change.

    `changed` is told of every name whose own records or existence changed, in the turn in which they did.
    """

    def __init__(self, plan: ZonePlan | None = None) -> None:
        self.plan = plan or ZonePlan()
        self.domain = self.plan.naming.domain
        self.serial = 1
        self.changed: Callable[[set[str]], None] = lambda names: None
        self._services: dict[str, Obj] = {}
        self._slices: dict[str, dict[str, Obj]] = defaultdict(dict)
        self._namespaces: set[str] = set()
        # Name -> whose records there are; nearly all have one owner, which has one such tuple for its names.
        self._names: dict[str, tuple[str, ...]] = {}
        self._owned: dict[str, RecordSet] = {}
        # How many names stand at or below each name: a name with a count but no records exists all the same.
        self._below: Counter[str] = Counter()
        self._apexes = (self.domain, *(apex for cidr in self.plan.ranges for apex in reverse_zones(cidr)))
        for name in (
            f"svc.{self.domain}",
            *self._apexes,
            *([f"pod.{self.domain}"] if self.plan.pods else ()),
        ):
            self._count(name, 1)
        self._put("zone itself", self._own_records())

    def set_service(self, key: str, service: Obj | None) -> None:
        if service is None:
            self._services.pop(key, None)
            self._put(key, {})
        else:
            self._services[key] = service
            self._put(key, service_records(service, self.plan.naming))
        for slice_key in self._slices.get(key, ()):
            self._put_slice(key, slice_key)

    def set_slice(self, key: str, old: Obj | None, new: Obj | None) -> None:
        """An EndpointSlice has come, changed or gone; it may have changed its Service."""
        before, after = _service_of(old), _service_of(new)
        if before is not None and before != after:
            self._slices[before].pop(key, None)
            if not self._slices[before]:
                del self._slices[before]
            self._put(f"slice {key}", {})
        if after is not None and new is not None:
            self._slices[after][key] = new
            self._put_slice(after, key)

    def set_namespace(self, name: str, *, present: bool) -> None:
        """Told twice, it counts once."""
        if present == (name in self._namespaces):
            return
        (self._namespaces.add if present else self._namespaces.remove)(name)
        step = 1 if present else -1
        changed = self._count(f"{name}.svc.{self.domain}", step)
        if self.plan.pods:
            changed |= self._count(f"{name}.pod.{self.domain}", step)
        self._tell(changed)

    def pod_changed(self, namespace: str) -> None:
        """For pods mode `verified`: answers about addresses of the namespace may have changed."""
        self._tell({f"{namespace}.pod.{self.domain}"})

    def holds(self, name: str) -> bool:
        """Whether this zone answers for the name itself: its domain, reverse names known or in its ranges."""
        return name in self._names or any(_within(name, apex) for apex in self._apexes)

    def lookup(self, name: str, kind: int) -> Answer:
        types = self._types_at(name)
        if types:
            return self._found(name, kind, types)
        if self.plan.pods and name.endswith(f".pod.{self.domain}"):
            return self._pod(name, kind)
        return self._no(name, NOERROR if self._below[name] > 0 else NXDOMAIN)

    def soa(self, name: str) -> Record:
        apex = next((apex for apex in self._apexes if _within(name, apex)), self.domain)
        ttl_s = self.plan.naming.ttl_s
        return Record(apex, SOA, ttl_s, soa_data(self.domain, self.serial & 0xFFFFFFFF, ttl_s))

    def _own_records(self) -> RecordSet:
        ttl_s = self.plan.naming.ttl_s
        version, server = f"dns-version.{self.domain}", f"ns.dns.{self.domain}"
        records: RecordSet = {version: (Record(version, TXT, ttl_s, txt_data(SPECIFICATION)),)}
        for apex in self._apexes:
            records[apex] = (Record(apex, NS, ttl_s, encode_name(server)),)
        for ip in self.plan.servers:
            kind, data = address_data(ip)
            records[server] = (*records.get(server, ()), Record(server, kind, ttl_s, data))
        return records

    def _found(self, name: str, kind: int, types: Types) -> Answer:
        if name in self._apexes and kind in (SOA, ANY):
            own = [record for records in types.values() for record in records] if kind == ANY else []
            return Answer(NOERROR, (self.soa(name), *own), rests_on=(self.domain,))
        if kind == ANY:
            return Answer(NOERROR, [record for records in types.values() for record in records])
        if kind in types:
            return self._with_targets(types[kind], kind)
        if CNAME in types:
            return self._follow(types[CNAME][0], kind)
        return self._no(name, NOERROR)

    def _follow(self, alias: Record, kind: int) -> Answer:
        """To the end of the chain: those who ask, the C library first among them, do not ask again."""
        aliases = [alias]
        passed: list[str] = []
        while len(aliases) <= MAX_ALIASES:
            target = decode_name(aliases[-1].data)
            if not self.holds(target):
                return Answer(NOERROR, aliases, leads_to=target, rests_on=passed)
            passed.append(target)
            here = self._types_at(target)
            if CNAME not in here or kind in here:
                end = self.lookup(target, kind)
                answers, names = [*aliases, *end.answers], [*passed, *end.rests_on]
                return Answer(end.rcode, answers, end.authority, end.additional, rests_on=names)
            aliases.append(here[CNAME][0])
        return Answer(NOERROR, aliases, rests_on=passed)  # they lead in a circle

    def _with_targets(self, records: Sequence[Record], kind: int) -> Answer:
        """The addresses of SRV and NS targets are sent along so that nobody needs to ask again (RFC 2782)."""
        if kind not in (SRV, NS):
            return Answer(NOERROR, records)
        start = 6 if kind == SRV else 0
        names = list(dict.fromkeys(decode_name(record.data[start:]) for record in records))
        addresses = [
            record
            for name in names
            for address, found in self._types_at(name).items()
            if address in (A, AAAA)
            for record in found
        ]
        return Answer(NOERROR, records, (), addresses, rests_on=names)

    def _no(self, name: str, rcode: int) -> Answer:
        return Answer(rcode, (), (self.soa(name),))

    def _types_at(self, name: str) -> Types:
        owners = self._names.get(name, ())
        records: Iterable[Record] = (record for owner in owners for record in self._owned[owner][name])
        if len(owners) > 1:
            records = dict.fromkeys(records)
        found: Types = {}
        for record in records:
            found.setdefault(record.type, []).append(record)
        return found

    def _pod(self, name: str, kind: int) -> Answer:
        """`10-244-0-7.shop.pod.cluster.local`: the address that is in the name, if the namespace exists."""
        dashed, _, parent = name.partition(".")
        if self._below[parent] <= 0 or parent == f"pod.{self.domain}":
            return self._pod_answer(NXDOMAIN, name, parent)
        namespace = parent.partition(".")[0]
        ip = _undashed(dashed)
        if ip is None or (self.plan.has_pod and not self.plan.has_pod(namespace, ip)):
            return self._pod_answer(NXDOMAIN, name, parent)
        wanted, data = address_data(ip)
        if kind not in (wanted, ANY):
            return self._pod_answer(NOERROR, name, parent)
        return Answer(NOERROR, (Record(name, wanted, self.plan.naming.ttl_s, data),), rests_on=(parent,))

    def _pod_answer(self, rcode: int, name: str, parent: str) -> Answer:
        if self._below[name] > 0:
            rcode = NOERROR
        return Answer(rcode, (), (self.soa(name),), rests_on=(parent,))

    def _put_slice(self, service_key: str, key: str) -> None:
        service = self._services.get(service_key)
        records = slice_records(service, self._slices[service_key][key], self.plan.naming) if service else {}
        self._put(f"slice {key}", records)

    def _put(self, owner: str, fresh: RecordSet) -> None:
        """These are the owner's records from now on."""
        stale = self._owned.get(owner, {})
        changed = {name for name in fresh.keys() | stale.keys() if fresh.get(name) != stale.get(name)}
        if not changed:
            return
        told = set(changed)
        alone = (owner,)
        for name in changed:
            if name not in fresh:
                others = tuple(other for other in self._names.pop(name) if other != owner)
                if others:
                    self._names[name] = others
                told |= self._count(name, -1)
            elif name not in stale:
                others = self._names.get(name, ())
                self._names[name] = (*others, owner) if others else alone
                told |= self._count(name, 1)
        if fresh:
            self._owned[owner] = fresh
        else:
            del self._owned[owner]
        self._tell(told)

    def _tell(self, names: set[str]) -> None:
        self.serial += 1
        names.update(self._apexes)  # their SOA
        self.changed(names)

    def _count(self, name: str, step: int) -> set[str]:
        """The names that begin or cease to exist by it."""
        flipped = set()
        for ancestor in _ancestors(name):
            before = self._below[ancestor]
            if before + step > 0:
                self._below[ancestor] = before + step
            else:
                del self._below[ancestor]
            if (before > 0) != (before + step > 0):
                flipped.add(ancestor)
        return flipped


def reverse_zones(cidr: str) -> list[str]:
    """The reverse names that have exactly this network below them, at the next boundary of labels."""
    network = ipaddress.ip_network(cidr)
    bits = 8 if network.version == 4 else 4
    up = -(-network.prefixlen // bits) * bits
    skipped = (network.max_prefixlen - up) // bits
    return [
        subnet.network_address.reverse_pointer.split(".", skipped)[skipped]
        for subnet in network.subnets(new_prefix=up)
    ]


def _undashed(dashed: str) -> str | None:
    for text in (dashed.replace("-", "."), dashed.replace("-", ":")):
        try:
            return str(ipaddress.ip_address(text))
        except ValueError:
            continue
    return None


def _within(name: str, apex: str) -> bool:
    return name.endswith(apex) and (len(name) == len(apex) or name[-len(apex) - 1] == ".")


def _ancestors(name: str) -> Iterator[str]:
    while name:
        yield name
        _, _, name = name.partition(".")


def _service_of(slice_: Obj | None) -> str | None:
    if slice_ is None:
        return None
    service = (slice_["metadata"].get("labels") or {}).get(SERVICE_NAME_LABEL)
    return join_key(namespace_of(slice_), service) if service else None


def decode_name(data: bytes) -> str:
    """Of our own making: never compressed, no dots within."""
    labels, at = [], 0
    while data[at]:
        labels.append(data[at + 1 : at + 1 + data[at]].decode("latin-1"))
        at += 1 + data[at]
    return ".".join(labels)
