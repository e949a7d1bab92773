"""Services and EndpointSlices as DNS records: the Kubernetes DNS specification 1.1, as pure functions.

web.shop.svc.cluster.local                  A/AAAA   the cluster IPs; headless: every ready endpoint
_http._tcp.web.shop.svc.cluster.local       SRV      each named port
db-0.web.shop.svc.cluster.local             A/AAAA   a headless endpoint, by hostname or dashed address
docs.shop.svc.cluster.local                 CNAME    where an ExternalName leads
3.0.96.10.in-addr.arpa                      PTR      back to the above
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

from sampan.api.objects import Obj, name_of, namespace_of
from sampan.dns.wire import (
    CNAME,
    PTR,
    SRV,
    Record,
    address_data,
    encode_name,
    reverse_name,
    srv_data,
)

TTL_S = 5

RecordSet: TypeAlias = dict[str, tuple[Record, ...]]
"""Name -> its records of all types. Flat, because there is one for every Service."""


@dataclass(frozen=True, slots=True)
class Naming:
    """What all names of a cluster have in common."""

    domain: str = "cluster.local"
    ttl_s: int = TTL_S
    by_pod_name: bool = False
    """Endpoints without a hostname are named after their Pod rather than by their address."""


def service_records(service: Obj, naming: Naming) -> RecordSet:
    """What a Service is known by without its endpoints; nothing, if it is headless."""
    found = _Collector(naming.ttl_s)
    name = _service_name(service, naming)
    spec = service["spec"]
    if spec.get("type") == "ExternalName":
        found.add(name, CNAME, encode_name, spec["externalName"].rstrip(".").lower())
    elif not is_headless(service):
        _virtual(found, name, spec)
    return found.records()


def slice_records(service: Obj, slice_: Obj, naming: Naming) -> RecordSet:
    """What one slice of a headless Service adds; nothing for any other Service."""
    if not is_headless(service) or service["spec"].get("type") == "ExternalName":
        return {}
    found = _Collector(naming.ttl_s)
    name = _service_name(service, naming)
    ports = [port for port in slice_.get("ports") or () if port.get("name") and port.get("port")]
    for ip, label in _ready_addresses(slice_, by_pod_name=naming.by_pod_name):
        target = f"{label}.{name}"
        found.add_address(name, ip)
        found.add_address(target, ip)
        found.add(reverse_name(ip), PTR, encode_name, target)
        for port in ports:
            found.add(_port_name(port, name), SRV, srv_data, port["port"], target)
    return found.records()


def is_headless(service: Obj) -> bool:
    return service["spec"].get("clusterIP", "") in ("None", "")


def _virtual(found: _Collector, name: str, spec: dict[str, Any]) -> None:
    for ip in spec.get("clusterIPs") or [spec["clusterIP"]]:
        found.add_address(name, ip)
        found.add(reverse_name(ip), PTR, encode_name, name)
    for port in spec.get("ports") or ():
        if port.get("name"):
            found.add(_port_name(port, name), SRV, srv_data, port["port"], name)


def _ready_addresses(slice_: Obj, *, by_pod_name: bool) -> Iterator[tuple[str, str]]:
    """(address, first label of its name) of every endpoint that takes requests."""
    if slice_["addressType"] == "FQDN":
        return
    for endpoint in slice_.get("endpoints") or ():
        # An absent condition means ready (KEP-752); publishNotReadyAddresses is in it already.
        if (endpoint.get("conditions") or {}).get("ready") is False:
            continue
        target = endpoint.get("targetRef") or {}
        pod = target.get("name", "") if by_pod_name and target.get("kind") == "Pod" else ""
        for ip in endpoint["addresses"]:
            label = endpoint.get("hostname") or pod or ip.replace(".", "-").replace(":", "-")
            yield ip, label.lower()


class _Collector:
    """Records by name, each once."""

    def __init__(self, ttl_s: int) -> None:
        self._records: dict[str, list[Record]] = {}
        self._ttl_s = ttl_s
        self._seen: set[tuple[str, int, bytes]] = set()

    def add_address(self, name: str, ip: str) -> None:
        kind, data = address_data(ip)
        self.add(name, kind, bytes, data)

    def add(self, name: str, kind: int, make: Callable[..., bytes], *arguments: object) -> None:
        """Names that no message can hold, which the API lets pass, have no records and lead nowhere."""
        try:
            encode_name(name)
            data = make(*arguments)
        except ValueError:
            return
        if (name, kind, data) not in self._seen:
            self._seen.add((name, kind, data))
            self._records.setdefault(name, []).append(Record(name, kind, self._ttl_s, data))

    def records(self) -> RecordSet:
        return {name: tuple(found) for name, found in self._records.items()}


def _service_name(service: Obj, naming: Naming) -> str:
    return f"{name_of(service)}.{namespace_of(service)}.svc.{naming.domain}"


def _port_name(port: Obj, name: str) -> str:
    return f"_{port['name']}._{port.get('protocol', 'TCP').lower()}.{name}"
