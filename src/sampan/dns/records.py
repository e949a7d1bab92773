"""Services and EndpointSlices as DNS records: the Kubernetes DNS specification 1.1, as pure functions.

web.shop.svc.cluster.local                  A/AAAA   the cluster IP; headless: every ready endpoint
_http._tcp.web.shop.svc.cluster.local       SRV      each named port
db-0.web.shop.svc.cluster.local             A/AAAA   a headless endpoint, by hostname or dashed address
3.0.96.10.in-addr.arpa                      PTR      back to the above
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
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

RecordSet: TypeAlias = dict[str, dict[int, list[Record]]]
"""name -> type -> records."""


def service_records(service: Obj, slices: Iterable[Obj], domain: str) -> RecordSet:
    """Everything one Service is known by. `slices` are those that carry its name."""
    records: RecordSet = defaultdict(lambda: defaultdict(list))
    name = f"{name_of(service)}.{namespace_of(service)}.svc.{domain}"
    spec = service["spec"]
    if spec.get("type") == "ExternalName":
        target = spec["externalName"].rstrip(".").lower()
        _add(records, name, CNAME, encode_name(target))
    elif is_headless(service):
        _headless(records, name, slices)
    else:
        _virtual(records, name, spec)
    return {owner: dict(types) for owner, types in records.items()}


def is_headless(service: Obj) -> bool:
    return service["spec"].get("clusterIP", "") in ("None", "")


def _virtual(records: RecordSet, name: str, spec: dict[str, Any]) -> None:
    for ip in spec.get("clusterIPs") or [spec["clusterIP"]]:
        _add(records, name, *address_data(ip))
        _add(records, reverse_name(ip), PTR, encode_name(name))
    for port in spec.get("ports") or ():
        if port.get("name"):
            _add(records, _port_name(port, name), SRV, srv_data(port["port"], name))


def _headless(records: RecordSet, name: str, slices: Iterable[Obj]) -> None:
    for slice_ in slices:
        for ip, hostname in _ready_addresses(slice_):
            target = f"{hostname or ip.replace('.', '-').replace(':', '-')}.{name}"
            _add(records, name, *address_data(ip))
            _add(records, target, *address_data(ip))
            _add(records, reverse_name(ip), PTR, encode_name(target))
            for port in slice_.get("ports") or ():
                if port.get("name") and port.get("port"):
                    _add(records, _port_name(port, name), SRV, srv_data(port["port"], target))


def _ready_addresses(slice_: Obj) -> Iterator[tuple[str, str]]:
    if slice_["addressType"] == "FQDN":
        return
    for endpoint in slice_.get("endpoints") or ():
        # An absent condition means ready (KEP-752).
        if (endpoint.get("conditions") or {}).get("ready") is not False:
            for ip in endpoint["addresses"]:
                yield ip, endpoint.get("hostname") or ""


def _port_name(port: Obj, name: str) -> str:
    return f"_{port['name']}._{port.get('protocol', 'TCP').lower()}.{name}"


def _add(records: RecordSet, name: str, kind: int, data: bytes) -> None:
    record = Record(name, kind, TTL_S, data)
    if record not in records[name][kind]:
        records[name][kind].append(record)
