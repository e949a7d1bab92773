"""The zone: every name there is now, and what to answer to a question.

Owned by the event loop; changes and look-ups never interleave.
"""

from __future__ import annotations

import ipaddress
import random
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sampan.api.objects import Obj, join_key, namespace_of
from sampan.dns.records import TTL_S, RecordSet, service_records
from sampan.dns.wire import (
    AAAA,
    ANY,
    CNAME,
    NOERROR,
    NXDOMAIN,
    PTR,
    SOA,
    SRV,
    TXT,
    A,
    Record,
    address_data,
    soa_data,
    txt_data,
)

SERVICE_NAME_LABEL = "kubernetes.io/service-name"
SPECIFICATION = "1.1.0"


@dataclass(frozen=True, slots=True)
class Answer:
    """What to say. `leads_to`: a name outside the zone that a CNAME points at, still to be looked up."""

    rcode: int
    answers: Sequence[Record] = ()
    authority: Sequence[Record] = ()
    additional: Sequence[Record] = ()
    leads_to: str = ""


class Zone:
    """The names of one cluster domain, kept current by `set_*`; `serial` grows with every change."""

    def __init__(self, domain: str = "cluster.local") -> None:
        self.domain = domain
        self.serial = 1
        self._services: dict[str, Obj] = {}
        self._slices: dict[str, dict[str, Obj]] = defaultdict(dict)
        # name -> owner (a Service's key) -> type -> records. Only PTR names can have two owners.
        self._names: dict[str, dict[str, dict[int, list[Record]]]] = {}
        self._owned: dict[str, RecordSet] = {}
        # How many names stand at or below each name: a name with a count but no records exists all the same.
        self._below: Counter[str] = Counter()
        for fixed in (f"svc.{domain}", f"pod.{domain}", f"dns-version.{domain}", f"ns.dns.{domain}"):
            self._count(fixed, 1)

    def set_service(self, key: str, service: Obj | None) -> None:
        if service is None:
            self._services.pop(key, None)
        else:
            self._services[key] = service
        self._rebuild(key)

    def set_slice(self, key: str, old: Obj | None, new: Obj | None) -> None:
        """An EndpointSlice has come, changed or gone; it may have changed its Service."""
        before, after = _service_of(old), _service_of(new)
        if before is not None and before != after:
            self._slices[before].pop(key, None)
            self._rebuild(before)
        if after is not None and new is not None:
            self._slices[after][key] = new
            self._rebuild(after)

    def set_namespace(self, name: str, *, present: bool) -> None:
        self._count(f"{name}.svc.{self.domain}", 1 if present else -1)
        self._count(f"{name}.pod.{self.domain}", 1 if present else -1)
        self.serial += 1

    def holds(self, name: str) -> bool:
        """Whether this zone answers for the name itself (reverse names only if they are known)."""
        return name == self.domain or name.endswith("." + self.domain) or name in self._names

    def lookup(self, name: str, kind: int) -> Answer:
        types = self._types_at(name)
        if types:
            return self._found(name, kind, types)
        if (pod := self._pod_address(name)) is not None:
            wanted, data = address_data(pod)
            records = [Record(name, wanted, TTL_S, data)] if kind in (wanted, ANY) else []
            return Answer(NOERROR, records, () if records else (self.soa(),))
        if name == self.domain:
            return Answer(NOERROR, (self.soa(),)) if kind in (SOA, ANY) else self._no(NOERROR)
        if name == f"dns-version.{self.domain}" and kind in (TXT, ANY):
            return Answer(NOERROR, (Record(name, TXT, TTL_S, txt_data(SPECIFICATION)),))
        return self._no(NOERROR if self._below[name] > 0 else NXDOMAIN)

    def soa(self) -> Record:
        return Record(self.domain, SOA, TTL_S, soa_data(self.domain, self.serial & 0xFFFFFFFF, TTL_S))

    def _found(self, name: str, kind: int, types: dict[int, list[Record]]) -> Answer:
        if kind == ANY:
            return Answer(NOERROR, [record for records in types.values() for record in records])
        if kind in types:
            answers = list(types[kind])
            random.shuffle(answers)
            return Answer(NOERROR, answers, additional=self._targets(answers) if kind == SRV else ())
        if CNAME in types:
            return self._follow(types[CNAME][0], kind)
        return self._no(NOERROR)

    def _follow(self, alias: Record, kind: int) -> Answer:
        target = _decode_name(alias.data)
        if not self.holds(target):
            return Answer(NOERROR, (alias,), leads_to=target)
        # An alias of an alias is not followed: the asker does that, and cannot be led in circles by us.
        records = self._types_at(target).get(kind, [])
        return Answer(NOERROR, (alias, *records), () if records else (self.soa(),))

    def _targets(self, services: Sequence[Record]) -> list[Record]:
        """The addresses of SRV targets, sent along so that nobody needs to ask again (RFC 2782)."""
        names = dict.fromkeys(_decode_name(record.data[6:]) for record in services)
        return [
            record
            for name in names
            for kind, records in self._types_at(name).items()
            if kind in (A, AAAA)
            for record in records
        ]

    def _no(self, rcode: int) -> Answer:
        return Answer(rcode, (), (self.soa(),))

    def _types_at(self, name: str) -> dict[int, list[Record]]:
        owners = self._names.get(name)
        if not owners:
            return {}
        if len(owners) == 1:
            return next(iter(owners.values()))
        return {PTR: [record for types in owners.values() for record in types.get(PTR, ())]}

    def _pod_address(self, name: str) -> str | None:
        """`10-244-0-7.shop.pod.cluster.local`: the address that is in the name, if the namespace exists."""
        suffix = f".pod.{self.domain}"
        if not name.endswith(suffix):
            return None
        dashed, _, namespace = name.removesuffix(suffix).partition(".")
        if not namespace or self._below[f"{namespace}{suffix}"] <= 0:
            return None
        for text in (dashed.replace("-", "."), dashed.replace("-", ":")):
            try:
                return str(ipaddress.ip_address(text))
            except ValueError:
                continue
        return None

    def _rebuild(self, key: str) -> None:
        service = self._services.get(key)
        slices = self._slices.get(key, {})
        fresh = service_records(service, slices.values(), self.domain) if service else {}
        if not slices:
            self._slices.pop(key, None)
        stale = self._owned.get(key, {})
        if fresh == stale:
            return
        for name in stale.keys() - fresh.keys():
            del self._names[name][key]
            if not self._names[name]:
                del self._names[name]
            self._count(name, -1)
        for name in fresh.keys() - stale.keys():
            self._count(name, 1)
        for name, types in fresh.items():
            self._names.setdefault(name, {})[key] = types
        if fresh:
            self._owned[key] = fresh
        else:
            self._owned.pop(key, None)
        self.serial += 1

    def _count(self, name: str, step: int) -> None:
        for ancestor in _ancestors(name):
            self._below[ancestor] += step
            if self._below[ancestor] <= 0:
                del self._below[ancestor]


def _ancestors(name: str) -> Iterator[str]:
    while name:
        yield name
        _, _, name = name.partition(".")


def _service_of(slice_: Obj | None) -> str | None:
    if slice_ is None:
        return None
    service = (slice_["metadata"].get("labels") or {}).get(SERVICE_NAME_LABEL)
    return join_key(namespace_of(slice_), service) if service else None


def _decode_name(data: bytes) -> str:
    labels, at = [], 0
    while data[at]:
        labels.append(data[at + 1 : at + 1 + data[at]].decode("latin-1"))
        at += 1 + data[at]
    return ".".join(labels)
