"""`subsets` of an Endpoints object from a Service's Pods. Pure.

Each subset stands for addresses x ports, so Pods with the same ports share one; at most a thousand addresses
are kept in all (Endpoints docs, "over-capacity endpoints").
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from functools import lru_cache
from typing import TypeAlias

from sampan.api.objects import Obj, is_deleting, labels_of, name_of, namespace_of, uid_of
from sampan.api.podspec import is_ready, is_terminal, pod_ips, resolve_port
from sampan.controllers.triggertimes import ANNOTATION as TRIGGER_TIME

MOST_ADDRESSES = 1000
OVER_CAPACITY = "endpoints.kubernetes.io/over-capacity"
HEADLESS = "service.kubernetes.io/headless"
MANAGED_BY = "endpoints.kubernetes.io/managed-by"
MANAGER = "endpoint-controller"
OWN_LABELS = (HEADLESS, MANAGED_BY)

Port: TypeAlias = tuple[str, int, str, str]
"""(name, number, protocol, appProtocol or "")."""


def subsets(service: Obj, pods: Iterable[Obj]) -> tuple[list[Obj], bool]:
    """(subsets in a stable order, whether addresses were left out)."""
    readiness: dict[tuple[str, str], bool] = {}
    entries: dict[tuple[str, str], Obj] = {}
    serving: dict[Port | None, set[tuple[str, str]]] = {}
    publish = bool(service["spec"].get("publishNotReadyAddresses"))
    for pod in pods:
        if is_terminal(pod) or (is_deleting(pod) and not publish):
            continue
        address = _address(service, pod)
        if address is None:
            continue
        which = (address["ip"], uid_of(pod))
        entries[which] = address
        readiness[which] = publish or is_ready(pod)
        for port in _ports(service, pod):
            serving.setdefault(port, set()).add(which)
    return _truncate(_pack(entries, readiness, serving))


def _address(service: Obj, pod: Obj) -> Obj | None:
    family = (service["spec"].get("ipFamilies") or ["IPv4"])[0]
    ip = next((ip for ip in pod_ips(pod) if (":" in ip) == (family == "IPv6")), None)
    if ip is None:
        return None
    address: Obj = {"ip": ip}
    if pod["spec"].get("hostname") and pod["spec"].get("subdomain") == name_of(service):
        address["hostname"] = pod["spec"]["hostname"]
    if node := pod["spec"].get("nodeName"):
        address["nodeName"] = node
    address["targetRef"] = {
        "kind": "Pod",
        "namespace": namespace_of(pod),
        "name": name_of(pod),
        "uid": uid_of(pod),
    }
    return address


def _ports(service: Obj, pod: Obj) -> Iterable[Port | None]:
    """None stands for the address alone, of a headless Service without ports."""
    listed = service["spec"].get("ports") or ()
    if not listed:
        if service["spec"].get("clusterIP") == "None":
            yield None
        return
    for port in listed:
        protocol = port.get("protocol") or "TCP"
        number = resolve_port(pod, port.get("targetPort") or port["port"], protocol)
        if number is not None:
            yield (port.get("name") or "", number, protocol, port.get("appProtocol") or "")


def _pack(
    entries: dict[tuple[str, str], Obj],
    readiness: dict[tuple[str, str], bool],
    serving: dict[Port | None, set[tuple[str, str]]],
) -> list[Obj]:
    """Ports with the same addresses go into one subset."""
    together: dict[frozenset[tuple[str, str]], list[Port]] = {}
    for port, addresses in serving.items():
        ports = together.setdefault(frozenset(addresses), [])
        if port is not None:
            ports.append(port)
    packed = []
    for which, ports in together.items():
        ordered = sorted(which, key=lambda one: (_number(one[0]), one[1]))
        subset: Obj = {}
        for field, state in (("addresses", True), ("notReadyAddresses", False)):
            if listed := [entries[one] for one in ordered if readiness[one] is state]:
                subset[field] = listed
        if ports:
            subset["ports"] = [_port(port) for port in sorted(ports)]
        packed.append((sorted(ports), ordered, subset))
    packed.sort(key=lambda each: each[:2])
    return [subset for _, _, subset in packed]


@lru_cache(maxsize=8192)
def _number(ip: str) -> int:
    """What addresses are ordered by; parsing one costs more than all the rest of its way through here."""
    return int(ipaddress.ip_address(ip))


def _port(port: Port) -> Obj:
    name, number, protocol, app_protocol = port
    listed: Obj = {"name": name} if name else {}
    listed |= {"port": number, "protocol": protocol}
    if app_protocol:
        listed["appProtocol"] = app_protocol
    return listed


def _truncate(packed: list[Obj]) -> tuple[list[Obj], bool]:
    """Keeps ready addresses before others; of those that do not all fit, every subset its proportion."""
    ready = sum(len(subset.get("addresses", ())) for subset in packed)
    waiting = sum(len(subset.get("notReadyAddresses", ())) for subset in packed)
    if ready + waiting <= MOST_ADDRESSES:
        return packed, False
    if ready > MOST_ADDRESSES:
        field, total, room = "addresses", ready, MOST_ADDRESSES
    else:
        field, total, room = "notReadyAddresses", waiting, MOST_ADDRESSES - ready
    kept = []
    left = room
    for subset in packed:
        smaller = dict(subset)
        if ready > MOST_ADDRESSES:
            smaller.pop("notReadyAddresses", None)
        # Rounded up, so that all room is used; the last subset may get a bit less.
        count = min(left, -(-len(subset.get(field, ())) * room // total))
        left -= count
        smaller[field] = subset.get(field, [])[:count]
        if not count:
            del smaller[field]
        if "addresses" in smaller or "notReadyAddresses" in smaller:
            kept.append(smaller)
    return kept, True


def endpoints(service: Obj, pods: Iterable[Obj], existing: Obj | None, trigger_time: str = "") -> Obj | None:
    """The Endpoints object to write, or None if `existing` says all of it already.

    `trigger_time` is noted on what is written anyway; it is no reason to write.
    """
    packed, truncated = subsets(service, pods)
    labels = {key: value for key, value in labels_of(service).items() if key not in OWN_LABELS}
    if service["spec"].get("clusterIP") == "None":
        labels[HEADLESS] = ""
    labels[MANAGED_BY] = MANAGER
    metadata = existing["metadata"] if existing else {}
    had = {key: value for key, value in (metadata.get("annotations") or {}).items() if key != TRIGGER_TIME}
    annotations = {key: value for key, value in had.items() if key != OVER_CAPACITY}
    if truncated:
        annotations[OVER_CAPACITY] = "truncated"
    said = (metadata.get("labels") or {}, had, existing.get("subsets") or []) if existing else None
    if said == (labels, annotations, packed):
        return None
    if trigger_time:
        annotations[TRIGGER_TIME] = trigger_time
    wanted: Obj = {
        "apiVersion": "v1",
        "kind": "Endpoints",
        "metadata": {
            "name": name_of(service),
            "namespace": namespace_of(service),
            "labels": labels,
        },
        "subsets": packed,
    }
    if annotations:
        wanted["metadata"]["annotations"] = annotations
    if existing:
        wanted["metadata"]["resourceVersion"] = metadata["resourceVersion"]
    return wanted


def size(existing: Obj | None) -> int:
    """How many addresses an Endpoints object lists."""
    listed = (existing or {}).get("subsets") or ()
    return sum(
        len(subset.get("addresses") or ()) + len(subset.get("notReadyAddresses") or ()) for subset in listed
    )
