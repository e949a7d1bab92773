"""Printers of Services, their endpoints, and group networking.k8s.io."""

from __future__ import annotations

from collections.abc import Iterator

from sampan.api.objects import Obj
from sampan.api.tables.column import (
    AGE,
    NAME,
    NONE,
    UNSET,
    Printer,
    at,
    find,
    first_few,
    joined,
    labels,
    printer,
    selector,
    text,
    wide,
)


def _cluster_ip(obj: Obj, now: float) -> str:
    spec = obj.get("spec") or {}
    return next(iter(spec.get("clusterIPs") or ()), None) or spec.get("clusterIP") or NONE


def _external_ip(obj: Obj, now: float) -> str:
    spec = obj.get("spec") or {}
    external = list(spec.get("externalIPs") or ())
    if spec.get("type") == "ExternalName":
        return spec.get("externalName") or ""
    if spec.get("type") != "LoadBalancer":
        return ",".join(external) or NONE
    return ",".join([*_load_balancer(obj), *external]) or "<pending>"


def _load_balancer(obj: Obj) -> list[str]:
    ingress = find(obj, "status.loadBalancer.ingress") or ()
    return sorted({entry.get("ip") or entry.get("hostname") or "" for entry in ingress} - {""})


def _ports(obj: Obj, now: float) -> str:
    shown = []
    for port in find(obj, "spec.ports") or ():
        node = f":{port['nodePort']}" if port.get("nodePort") else ""
        shown.append(f"{port.get('port', 0)}{node}/{port.get('protocol', 'TCP')}")
    return ",".join(shown) or NONE


def _endpoints(obj: Obj, now: float) -> str:
    subsets = obj.get("subsets") or ()
    return first_few(_subset_addresses(subsets)) if subsets else NONE


def _subset_addresses(subsets: list[Obj]) -> Iterator[str]:
    for subset in subsets:
        addresses = [entry.get("ip", "") for entry in subset.get("addresses") or ()]
        if not subset.get("ports"):
            yield from addresses
        for port in subset.get("ports") or ():
            for address in addresses:
                yield f"[{address}]:{port.get('port')}" if ":" in address else f"{address}:{port.get('port')}"


def _slice_ports(obj: Obj, now: float) -> str:
    ports = obj.get("ports") or ()
    return first_few(str(port.get("port") or port.get("name") or "*") for port in ports) or UNSET


def _slice_addresses(obj: Obj, now: float) -> str:
    endpoints = obj.get("endpoints") or ()
    return first_few(address for entry in endpoints for address in entry.get("addresses") or ()) or UNSET


def _ingress_class(obj: Obj, now: float) -> str:
    legacy = (obj["metadata"].get("annotations") or {}).get("kubernetes.io/ingress.class")
    return find(obj, "spec.ingressClassName") or legacy or NONE


def _hosts(obj: Obj, now: float) -> str:
    hosts = (rule.get("host") or "" for rule in find(obj, "spec.rules") or ())
    return first_few(filter(None, hosts)) or "*"


def _parameters(obj: Obj, now: float) -> str:
    parameters = find(obj, "spec.parameters")
    if not parameters:
        return NONE
    group = f".{parameters['apiGroup']}" if parameters.get("apiGroup") else ""
    return f"{parameters.get('kind', '')}{group}/{parameters.get('name', '')}"


def _parent(obj: Obj, now: float) -> str:
    parent = find(obj, "spec.parentRef") or {}
    resource = ".".join(filter(None, (parent.get("resource"), parent.get("group"))))
    return "/".join(filter(None, (resource, parent.get("namespace"), parent.get("name"))))


PRINTERS: dict[tuple[str, str], Printer] = {
    ("", "services"): printer(
        NAME,
        text("Type", at("spec.type")),
        text("Cluster-IP", _cluster_ip),
        text("External-IP", _external_ip),
        text("Port(s)", _ports),
        AGE,
        wide("Selector", labels("spec.selector")),
    ),
    ("", "endpoints"): printer(NAME, text("Endpoints", _endpoints), AGE),
    ("discovery.k8s.io", "endpointslices"): printer(
        NAME,
        text("AddressType", at("addressType")),
        text("Ports", _slice_ports),
        text("Endpoints", _slice_addresses),
        AGE,
    ),
    ("networking.k8s.io", "ingresses"): printer(
        NAME,
        text("Class", _ingress_class),
        text("Hosts", _hosts),
        text("Address", lambda obj, now: ",".join(_load_balancer(obj))),
        text("Ports", lambda obj, now: "80, 443" if find(obj, "spec.tls") else "80"),
        AGE,
    ),
    ("networking.k8s.io", "ingressclasses"): printer(
        NAME, text("Controller", at("spec.controller")), text("Parameters", _parameters), AGE
    ),
    ("networking.k8s.io", "networkpolicies"): printer(
        NAME, text("Pod-Selector", selector("spec.podSelector")), AGE
    ),
    ("networking.k8s.io", "servicecidrs"): printer(NAME, text("CIDRs", joined("spec.cidrs")), AGE),
    ("networking.k8s.io", "ipaddresses"): printer(NAME, text("ParentRef", _parent), AGE),
}
