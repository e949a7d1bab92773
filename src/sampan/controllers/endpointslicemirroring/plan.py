"""Which EndpointSlices show what an Endpoints object says. Pure.

One slice for each family and set of ports, of at most a thousand endpoints. Sources: EndpointSlice docs
("EndpointSlice mirroring"), KEP-0752.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import ip_address
from itertools import islice
from typing import NamedTuple, TypeAlias

from sampan.api.objects import (
    Obj,
    annotations_of,
    is_deleting,
    labels_of,
    mutable,
    name_of,
    namespace_of,
    owner_reference,
    uid_of,
)
from sampan.controllers.slicetracker import MANAGED_BY, SERVICE_NAME
from sampan.controllers.slicewrites import Plan, annotate, generate_name, is_owned, reused

MANAGER = "endpointslicemirroring-controller.k8s.io"
SKIP = "endpointslice.kubernetes.io/skip-mirror"
LEADER = "control-plane.alpha.kubernetes.io/leader"
MOST_ENDPOINTS = 1000
"""Of one subset, and in one slice."""
NOT_COPIED = frozenset(
    (
        "endpoints.kubernetes.io/last-change-trigger-time",
        "kubectl.kubernetes.io/last-applied-configuration",
    )
)

Port: TypeAlias = tuple[str, int, str, str]
"""(name, number, protocol, appProtocol or "")."""


class Group(NamedTuple):
    """What all endpoints of a slice have in common."""

    address_type: str
    ports: tuple[Port, ...]


def is_mirrored(endpoints: Obj, service: Obj) -> bool:
    """Whether the Endpoints are written by hand, and not for somebody's leader election."""
    if labels_of(endpoints).get(SKIP) == "true" or LEADER in annotations_of(endpoints):
        return False
    if is_deleting(endpoints):
        return False  # new slices would only race with the garbage collector
    return not service["spec"].get("selector")


def plan(endpoints: Obj, existing: Iterable[Obj]) -> Plan:
    """`existing` are all slices of the Service that this controller manages."""
    labels = {**labels_of(endpoints), SERVICE_NAME: name_of(endpoints), MANAGED_BY: MANAGER}
    annotations = {key: value for key, value in annotations_of(endpoints).items() if key not in NOT_COPIED}
    create: list[Obj] = []
    update: list[Obj] = []
    delete: list[Obj] = []
    there: dict[Group, list[Obj]] = {}
    for piece in existing:
        if is_owned(piece, uid_of(endpoints)):
            there.setdefault(_group_of(piece), []).append(piece)
        else:
            delete.append(piece)
    for group, listed in wanted(endpoints).items():
        pieces = there.pop(group, [])
        for content in _chunks(listed):
            if not pieces:
                create.append(_new(endpoints, group, content, labels, annotations))
                continue
            piece = pieces.pop(0)
            said = (piece.get("endpoints") or [], labels_of(piece), annotations_of(piece))
            if said != (content, labels, annotations):
                update.append(_changed(piece, content, labels, annotations))
        delete += pieces
    for pieces in there.values():
        delete += pieces
    return reused(Plan(tuple(create), tuple(update), tuple(delete)), uid_of(endpoints))


def wanted(endpoints: Obj) -> dict[Group, list[Obj]]:
    """The endpoints of each group; an address that is ready in one subset of a group is ready."""
    found: dict[Group, dict[str, Obj]] = {}
    for subset in endpoints.get("subsets") or ():
        ports = tuple(sorted(_port(port) for port in subset.get("ports") or ()))
        for address, ready in islice(_addresses(subset), MOST_ENDPOINTS):
            parsed = ip_address(address["ip"])
            entries = found.setdefault(Group(f"IPv{parsed.version}", ports), {})
            # Ready ones are met first; who is named twice is one endpoint.
            known = entries.get(str(parsed))
            if known is None or (ready and not known["conditions"]["ready"]):
                entries[str(parsed)] = _endpoint(str(parsed), address, ready)
    return {group: list(entries.values()) for group, entries in found.items()}


def skipped(endpoints: Obj) -> int:
    """How many addresses are beyond what one subset may have."""
    counts = (sum(1 for _ in _addresses(subset)) for subset in endpoints.get("subsets") or ())
    return sum(max(count - MOST_ENDPOINTS, 0) for count in counts)


def _addresses(subset: Obj) -> Iterator[tuple[Obj, bool]]:
    """(address, whether ready), those that are ready first."""
    for field, ready in (("addresses", True), ("notReadyAddresses", False)):
        for address in subset.get(field) or ():
            yield address, ready


def _endpoint(ip: str, address: Obj, ready: bool) -> Obj:
    endpoint: Obj = {"addresses": [ip], "conditions": {"ready": ready}}
    for field in ("hostname", "nodeName", "targetRef"):
        if address.get(field):
            endpoint[field] = address[field]
    return endpoint


def _port(port: Obj) -> Port:
    return (
        port.get("name") or "",
        port.get("port") or 0,
        port.get("protocol") or "TCP",
        port.get("appProtocol") or "",
    )


def _group_of(piece: Obj) -> Group:
    return Group(piece["addressType"], tuple(sorted(_port(port) for port in piece.get("ports") or ())))


def _chunks(listed: list[Obj]) -> Iterator[list[Obj]]:
    for start in range(0, len(listed), MOST_ENDPOINTS):
        yield listed[start : start + MOST_ENDPOINTS]


def _new(
    endpoints: Obj, group: Group, content: list[Obj], labels: dict[str, str], annotations: dict[str, str]
) -> Obj:
    metadata = {
        "generateName": generate_name(name_of(endpoints)),
        "namespace": namespace_of(endpoints),
        "labels": labels,
        "ownerReferences": [owner_reference(endpoints)],
    }
    annotate(metadata, annotations)
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": metadata,
        "addressType": group.address_type,
        "endpoints": content,
        "ports": [
            {"name": name, "port": number, "protocol": protocol}
            | ({"appProtocol": app_protocol} if app_protocol else {})
            for name, number, protocol, app_protocol in group.ports
        ],
    }


def _changed(piece: Obj, content: list[Obj], labels: dict[str, str], annotations: dict[str, str]) -> Obj:
    metadata = {**mutable(piece["metadata"]), "labels": labels}
    annotate(metadata, annotations)
    return {**piece, "metadata": metadata, "endpoints": content}
