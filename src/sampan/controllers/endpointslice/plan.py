"""Which EndpointSlices of a Service to create, to update and to delete. Pure.

Few and small writes are the aim, for every slice that changes goes to every node: endpoints stay in the slice
they are in, a slice without changes is not touched, new endpoints go first where a write happens anyway.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from sampan.api.objects import (
    Obj,
    annotations_of,
    is_deleting,
    key_of,
    labels_of,
    mutable,
    name_of,
    namespace_of,
    owner_reference,
    uid_of,
)
from sampan.controllers.endpointslice.endpoints import Group, Ports, identity
from sampan.controllers.endpointslice.layout import Narrowing
from sampan.controllers.slicetracker import MANAGED_BY, SERVICE_NAME
from sampan.controllers.slicewrites import Plan, annotate, generate_name, is_owned, reused
from sampan.controllers.triggertimes import ANNOTATION as TRIGGER_TIME

MOST_ENDPOINTS = 100
"""In one slice; the API itself allows 1,000."""
MANAGER = "endpointslice-controller.k8s.io"
HEADLESS = "service.kubernetes.io/headless"


def plan(
    service: Obj,
    wanted: Mapping[Group, Mapping[str, Obj]],
    existing: Iterable[Obj],
    trigger_time: str = "",
    narrowing: Narrowing | None = None,
) -> Plan:
    """`existing` are all slices of the Service that this controller manages.

    `trigger_time` is noted on what is written anyway; it is no reason to write. `narrowing` makes no other
    plan, only the same one sooner.
    """
    labels = slice_labels(service)
    by_group: dict[Group, list[Obj]] = {group: [] for group in wanted}
    delete: list[Obj] = []
    for piece in existing:
        if is_deleting(piece):
            continue
        if not is_owned(piece, uid_of(service)):
            delete.append(piece)  # of a Service that had this name before
            continue
        by_group.setdefault(group_of(piece), []).append(piece)
    create: list[Obj] = []
    update: list[Obj] = []
    for group, pieces in by_group.items():
        if group not in wanted:
            delete += pieces
            continue
        contents, fresh = distribute(wanted[group], pieces, labels, narrowing)
        # A group that is wanted keeps a slice, even an empty one; any other slice that runs empty goes.
        keep_one = not fresh and not any(contents)
        for piece, content in zip(pieces, contents, strict=True):
            if not content and not keep_one:
                delete.append(piece)
                continue
            keep_one = keep_one and bool(content)
            if content != (piece.get("endpoints") or []) or labels != labels_of(piece):
                update.append(_changed(piece, content, labels, trigger_time))
        if not pieces and not fresh:
            fresh = [[]]
        create += [_new(service, group, content, labels, trigger_time) for content in fresh]
    if is_deleting(service):
        create = []  # they would only race with the garbage collector
    return reused(Plan(tuple(create), tuple(update), tuple(delete)), uid_of(service))


def distribute(
    wanted: Mapping[str, Obj],
    pieces: Sequence[Obj],
    labels: Mapping[str, str] | None = None,
    narrowing: Narrowing | None = None,
) -> tuple[list[list[Obj]], list[list[Obj]]]:
    """(endpoints of each existing slice, endpoints of each new slice) for one group.

    A slice whose labels are not `labels` is written anyway.
    """
    if narrowing is None:
        left, untouched = dict(wanted), frozenset[str]()
    else:
        left = {key: wanted[key] for key in wanted.keys() & narrowing.suspects}
        untouched = narrowing.untouched
    contents: list[list[Obj]] = []
    touched: list[bool] = []
    for piece in pieces:
        there = piece.get("endpoints") or []
        content = there if key_of(piece) in untouched else _still_wanted(there, left)
        contents.append(content)
        relabelled = labels is not None and labels != labels_of(piece)
        touched.append(relabelled or content != there)
    if not left:
        return contents, []
    rest = list(left.values())
    # Slices that are written anyway first, the fullest of them first, so that few stay half empty.
    for number in sorted(range(len(pieces)), key=lambda n: -len(contents[n])):
        if touched[number]:
            contents[number], rest = _filled(contents[number], rest)
    fresh = []
    while len(rest) >= MOST_ENDPOINTS:
        fresh.append(rest[:MOST_ENDPOINTS])
        rest = rest[MOST_ENDPOINTS:]
    if rest:
        # Then the fullest that takes all of the rest in one write.
        roomy = [n for n, content in enumerate(contents) if len(content) + len(rest) <= MOST_ENDPOINTS]
        if roomy:
            number = max(roomy, key=lambda n: len(contents[n]))
            contents[number], rest = _filled(contents[number], rest)
    return contents, [*fresh, rest] if rest else fresh


def _still_wanted(there: Iterable[Obj], left: dict[str, Obj]) -> list[Obj]:
    """Those of a slice's endpoints that are still to be placed, as they are now; taken out of `left`."""
    content: list[Obj] = []
    for endpoint in there:
        key = identity(endpoint)
        if key in left and len(content) < MOST_ENDPOINTS:
            content.append(left.pop(key))
    return content


def _filled(content: list[Obj], rest: list[Obj]) -> tuple[list[Obj], list[Obj]]:
    """(the content with as much of the rest as it takes, what remains)."""
    room = MOST_ENDPOINTS - len(content)
    return content + rest[:room], rest[room:]


def group_of(piece: Obj) -> Group:
    ports = [
        (
            port.get("name") or "",
            port.get("port") or 0,
            port.get("protocol") or "TCP",
            port.get("appProtocol") or "",
        )
        for port in piece.get("ports") or ()
    ]
    return Group(piece["addressType"], tuple(sorted(ports)))


def slice_labels(service: Obj) -> dict[str, str]:
    """The Service's own labels and the three that are reserved."""
    labels = {key: value for key, value in labels_of(service).items() if key != HEADLESS}
    if service["spec"].get("clusterIP") == "None":
        labels[HEADLESS] = ""
    return {**labels, SERVICE_NAME: name_of(service), MANAGED_BY: MANAGER}


def _changed(piece: Obj, content: list[Obj], labels: dict[str, str], trigger_time: str) -> Obj:
    metadata = {**mutable(piece["metadata"]), "labels": dict(labels)}
    annotations = {key: value for key, value in annotations_of(piece).items() if key != TRIGGER_TIME}
    if trigger_time:
        annotations[TRIGGER_TIME] = trigger_time
    annotate(metadata, annotations)
    return {**piece, "metadata": metadata, "endpoints": content}


def _new(service: Obj, group: Group, content: list[Obj], labels: dict[str, str], trigger_time: str) -> Obj:
    metadata: Obj = {
        "generateName": generate_name(name_of(service)),
        "namespace": namespace_of(service),
        "labels": dict(labels),
        "ownerReferences": [owner_reference(service)],
    }
    if trigger_time:
        metadata["annotations"] = {TRIGGER_TIME: trigger_time}
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": metadata,
        "addressType": group.address_type,
        "endpoints": content,
        "ports": _ports(group.ports),
    }


def _ports(ports: Ports) -> list[Obj]:
    listed = []
    for name, number, protocol, app_protocol in ports:
        port: Obj = {"name": name, "port": number, "protocol": protocol}
        if app_protocol:
            port["appProtocol"] = app_protocol
        listed.append(port)
    return listed
