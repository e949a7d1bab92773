"""Rules of Services."""

from __future__ import annotations

from ipaddress import IPv4Address

from sampan.api import names
from sampan.api.errors import duplicate, forbidden_value, invalid_value, required
from sampan.api.objects import Obj
from sampan.api.validation import labels
from sampan.api.validation.check import (
    Errors,
    complain,
    dicts,
    form,
    one_of,
    one_of_if_set,
    port,
    port_or_name,
)
from sampan.api.validation.containers import PROTOCOLS
from sampan.api.validation.endpoints import special_address

TYPES = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
POLICIES = ("Cluster", "Local")
FAMILIES = ("IPv4", "IPv6")
FAMILY_POLICIES = ("PreferDualStack", "RequireDualStack", "SingleStack")
DISTRIBUTIONS = ("PreferClose", "PreferSameNode", "PreferSameZone")
MAX_AFFINITY_S = 86400
ONE_PER_FAMILY = "may specify no more than one IP for each IP family"
ONLY_LOAD_BALANCER = "may only be used when `type` is 'LoadBalancer'"
SET_ONCE = "may not change once set"
SOURCE_RANGES = "service.beta.kubernetes.io/load-balancer-source-ranges"
TOPOLOGY_MODE, TOPOLOGY_HINTS = (
    "service.kubernetes.io/topology-mode",
    "service.kubernetes.io/topology-aware-hints",
)


def create(service: Obj) -> Errors:
    spec = service.get("spec") or {}
    annotations = service["metadata"].get("annotations") or {}
    yield from _topology(annotations)
    kind = spec.get("type")
    if not spec.get("ports") and not _is_headless(spec) and kind != "ExternalName":
        yield required("spec.ports")
    if kind in ("LoadBalancer", "NodePort") and _is_headless(spec):
        yield invalid_value("spec.clusterIPs[0]", "None", f"may not be set to 'None' for {kind} services")
    if kind == "ExternalName":
        yield from _external_name(spec)
    yield from _ports("spec.ports", spec)
    yield from labels.label_map("spec.selector", spec.get("selector"))
    yield from _affinity(spec)
    if kind != "ExternalName":
        yield from cluster_ips(spec)
    for index, address in enumerate(spec.get("externalIPs") or ()):
        complaints = names.ip(address or "")
        yield from complain(f"spec.externalIPs[{index}]", address, complaints)
        if not complaints:
            yield from special_address(f"spec.externalIPs[{index}]", address)
    yield from one_of("spec.type", kind, TYPES)
    yield from _node_ports("spec.ports", spec)
    yield from _duplicate_ports("spec.ports", spec)
    yield from _load_balancer(spec, annotations)
    yield from _traffic(spec)


def _topology(annotations: Obj) -> Errors:
    """The annotation of old and the one that took its place may not disagree."""
    mode, hints = annotations.get(TOPOLOGY_MODE), annotations.get(TOPOLOGY_HINTS)
    if mode is not None and hints is not None and mode != hints:
        sentence = f"must match annotations[{TOPOLOGY_HINTS}] when both are specified"
        yield invalid_value(f"metadata.annotations[{TOPOLOGY_MODE}]", mode, sentence)


def _is_headless(spec: Obj) -> bool:
    return (spec.get("clusterIPs") or [spec.get("clusterIP")]) == ["None"]


def _external_name(spec: Obj) -> Errors:
    for field in ("clusterIPs", "ipFamilies", "ipFamilyPolicy"):
        if spec.get(field):
            yield forbidden_value(f"spec.{field}", "may not be set for ExternalName services")
    cname = (spec.get("externalName") or "").removesuffix(".")
    if cname:
        yield from form("spec.externalName", cname, names.dns_subdomain)
    else:
        yield required("spec.externalName")


# --- ports --------------------------------------------------------------------------------------------------


def _ports(path: str, spec: Obj) -> Errors:
    ports = dicts(spec, "ports")
    seen = set()
    for index, entry in ports:
        at, name = f"{path}[{index}]", entry.get("name")
        if name:
            yield from form(f"{at}.name", name, names.dns_label)
            if name in seen:
                yield duplicate(f"{at}.name", name)
            seen.add(name)
        elif len(ports) > 1:
            yield required(f"{at}.name")
        yield from port(f"{at}.port", entry.get("port"))
        yield from one_of(f"{at}.protocol", entry.get("protocol"), PROTOCOLS)
        yield from port_or_name(f"{at}.targetPort", entry.get("targetPort"))
        if entry.get("appProtocol") is not None:
            yield from form(f"{at}.appProtocol", entry["appProtocol"], names.qualified_name)


def _node_ports(path: str, spec: Obj) -> Errors:
    seen = set()
    for index, entry in dicts(spec, "ports"):
        number = entry.get("nodePort")
        if not number:
            continue
        at = f"{path}[{index}].nodePort"
        if spec.get("type") in ("ClusterIP", "ExternalName"):
            yield forbidden_value(at, f"may not be used when `type` is '{spec['type']}'")
        key = (entry.get("protocol"), number)
        if key in seen:
            yield duplicate(at, number)
        seen.add(key)


def _duplicate_ports(path: str, spec: Obj) -> Errors:
    seen = set()
    for index, entry in dicts(spec, "ports"):
        key = (entry.get("protocol"), entry.get("port"))
        if key in seen:
            yield duplicate(f"{path}[{index}]", {"protocol": key[0], "port": key[1]})
        seen.add(key)


# --- addresses ----------------------------------------------------------------------------------------------


def cluster_ips(spec: Obj) -> Errors:
    """The addresses and families of a Service against each other; what is missing is not asked for."""
    first, addresses = spec.get("clusterIP"), spec.get("clusterIPs") or []
    path = "spec.clusterIPs"
    if first and not addresses:
        yield required(path)
    elif first and addresses[0] != first:
        yield invalid_value(path, addresses, "first value must match `clusterIP`")
    elif addresses and not first:
        yield invalid_value(path, addresses, "must be empty when `clusterIP` is not specified")
    families = spec.get("ipFamilies") or []
    for index, family in enumerate(families):
        yield from one_of(f"spec.ipFamilies[{index}]", family, FAMILIES)
        if family in families[:index]:
            yield duplicate(f"spec.ipFamilies[{index}]", family)
    yield from one_of_if_set("spec.ipFamilyPolicy", spec.get("ipFamilyPolicy"), FAMILY_POLICIES)
    broken = False
    for index, address in enumerate(addresses):
        if index == 0 and address == "None":
            if len(addresses) > 1:
                broken = True
                yield invalid_value(path, addresses, "'None' must be the first and only value")
            continue
        complaints = names.ip(address or "")
        broken = broken or bool(complaints)
        yield from complain(f"{path}[{index}]", address, complaints)
    if len(addresses) > 2:
        yield invalid_value(path, addresses, "may only hold up to 2 values")
    if not broken:
        yield from _families(path, addresses, families)


def _families(path: str, addresses: list[str], families: list[str]) -> Errors:
    found = ["IPv6" if ":" in address else "IPv4" for address in addresses]
    if len(found) > 1 and sorted(found) != list(FAMILIES):
        yield invalid_value(path, addresses, ONE_PER_FAMILY)
    if addresses == ["None"]:
        return
    for index, (family, wanted) in enumerate(zip(found, families, strict=False)):
        if wanted in FAMILIES and family != wanted:
            sentence = f"expected an {wanted} value as indicated by `ipFamilies[{index}]`"
            yield invalid_value(f"{path}[{index}]", addresses[index], sentence)


# --- affinity, traffic, load balancers ----------------------------------------------------------------------


def _affinity(spec: Obj) -> Errors:
    kind, config = spec.get("sessionAffinity"), spec.get("sessionAffinityConfig")
    yield from one_of("spec.sessionAffinity", kind, ("ClientIP", "None"))
    at = "spec.sessionAffinityConfig"
    if kind == "None" and config is not None:
        yield forbidden_value(at, "must not be set when session affinity is None")
    if kind != "ClientIP":
        return
    why = "when session affinity type is ClientIP"
    client_ip = (config or {}).get("clientIP")
    if config is None or client_ip is None:
        yield required(at if config is None else f"{at}.clientIP", why)
        return
    seconds = client_ip.get("timeoutSeconds")
    if seconds is None:
        yield required(f"{at}.clientIP.timeoutSeconds", why)
    elif not 0 < seconds <= MAX_AFFINITY_S:
        sentence = f"must be greater than 0 and less than {MAX_AFFINITY_S}"
        yield invalid_value(f"{at}.clientIP.timeoutSeconds", seconds, sentence)


def _load_balancer(spec: Obj, annotations: Obj) -> Errors:
    is_balancer = spec.get("type") == "LoadBalancer"
    if ranges := spec.get("loadBalancerSourceRanges"):
        # Upstream spells the path so; blanks around a range are an old habit that still is accepted.
        path = "spec.LoadBalancerSourceRanges"
        if not is_balancer:
            yield forbidden_value(path, ONLY_LOAD_BALANCER)
        for index, text in enumerate(ranges):
            yield from form(f"{path}[{index}]", (text or "").strip(), names.network)
    elif (listed := annotations.get(SOURCE_RANGES)) is not None:
        path = f"metadata.annotations[{SOURCE_RANGES}]"
        if not is_balancer:
            yield forbidden_value(path, ONLY_LOAD_BALANCER)
        for text in listed.split(",") if listed.strip() else ():
            yield from form(path, text.strip(), names.network)
    allocate = spec.get("allocateLoadBalancerNodePorts")
    if allocate is not None and not is_balancer:
        yield forbidden_value("spec.allocateLoadBalancerNodePorts", ONLY_LOAD_BALANCER)
    if allocate is None and is_balancer:
        yield required("allocateLoadBalancerNodePorts")
    cls = spec.get("loadBalancerClass")
    if cls is not None and is_balancer:
        yield from form("spec.loadBalancerClass", cls, names.qualified_name)
    elif cls is not None:
        yield forbidden_value("spec.loadBalancerClass", ONLY_LOAD_BALANCER)


def _traffic(spec: Obj) -> Errors:
    kind, policy = spec.get("type"), spec.get("externalTrafficPolicy")
    external = kind in ("LoadBalancer", "NodePort") or (kind == "ClusterIP" and bool(spec.get("externalIPs")))
    if external:
        yield from one_of("spec.externalTrafficPolicy", policy, POLICIES)
    elif policy:
        sentence = "may only be set for externally-accessible services"
        yield invalid_value("spec.externalTrafficPolicy", policy, sentence)
    health = spec.get("healthCheckNodePort") or 0
    if not _needs_health_check(spec):
        if health:
            sentence = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'"
            yield invalid_value("spec.healthCheckNodePort", health, sentence)
    elif health:  # else the server chooses one
        yield from port("spec.healthCheckNodePort", health)
    internal = spec.get("internalTrafficPolicy")
    if internal is None and kind in ("ClusterIP", "NodePort", "LoadBalancer"):
        yield required("spec.internalTrafficPolicy")
    elif internal is not None:
        yield from one_of("spec.internalTrafficPolicy", internal, POLICIES)
    if spec.get("trafficDistribution") is not None:
        yield from one_of("spec.trafficDistribution", spec["trafficDistribution"], DISTRIBUTIONS)


def _needs_health_check(spec: Obj) -> bool:
    return spec.get("type") == "LoadBalancer" and spec.get("externalTrafficPolicy") == "Local"


# --- changes ------------------------------------------------------------------------------------------------


def update(new_service: Obj, old_service: Obj) -> Errors:
    new, old = new_service.get("spec") or {}, old_service.get("spec") or {}
    if "ExternalName" not in (new.get("type"), old.get("type")):
        if not (_is_headless(new) and _is_headless(old)):
            yield from _kept(new, old, "clusterIPs", "clusterIP")
        if not (_is_headless(new) or _is_headless(old)):
            yield from _kept(new, old, "ipFamilies", "ipFamily")
    if new.get("type") == old.get("type") == "LoadBalancer":
        cls = new.get("loadBalancerClass")
        if cls != old.get("loadBalancerClass"):
            yield invalid_value("spec.loadBalancerClass", cls, SET_ONCE)
    if _needs_health_check(new) and _needs_health_check(old):
        now, was = new.get("healthCheckNodePort") or 0, old.get("healthCheckNodePort") or 0
        if now != was:
            yield forbidden_value("spec.healthCheckNodePort", "field is immutable")
    yield from create(new_service)


def _kept(new: Obj, old: Obj, field: str, one: str) -> Errors:
    """The primary stays; a secondary may be added, and given back with the policy SingleStack."""
    now, was = new.get(field) or [], old.get(field) or []
    path = f"spec.{field}"
    if len(now) == len(was):
        for index, (after, before) in enumerate(zip(now, was, strict=True)):
            if after != before:
                # Upstream always points at the first family.
                place = index if field == "clusterIPs" else 0
                yield invalid_value(f"{path}[{place}]", now, SET_ONCE)
        return
    if was and not now:
        yield invalid_value(f"{path}[0]", now, f"primary {one} can not be unset")
    if was and now and now[0] != was[0]:
        yield invalid_value(f"{path}[0]", now, SET_ONCE)
    if len(was) > len(now) == 1 and new.get("ipFamilyPolicy") != "SingleStack":
        sentence = f"must be set to 'SingleStack' when releasing the secondary {one}"
        yield invalid_value("spec.ipFamilyPolicy", new.get("ipFamilyPolicy"), sentence)


def update_status(new: Obj, old: Obj) -> Errors:
    balancer = (new.get("status") or {}).get("loadBalancer") or {}
    path = "status.loadBalancer.ingress"
    if balancer.get("ingress") and (new.get("spec") or {}).get("type") != "LoadBalancer":
        yield forbidden_value(path, "may only be used when `spec.type` is 'LoadBalancer'")
    for index, entry in dicts(balancer, "ingress"):
        at, address, mode = f"{path}[{index}]", entry.get("ip"), entry.get("ipMode")
        if address:
            yield from form(f"{at}.ip", address, names.ip)
        if mode is not None and not address:
            yield forbidden_value(f"{at}.ipMode", "may not be specified when `ip` is not set")
        elif mode is not None:
            yield from one_of(f"{at}.ipMode", mode, ("Proxy", "VIP"))
        hostname = entry.get("hostname")
        if hostname:
            yield from form(f"{at}.hostname", hostname, names.dns_subdomain)
            if isinstance(names.parse_ip(hostname), IPv4Address):
                yield invalid_value(f"{at}.hostname", hostname, "must be a DNS name, not an IP address")
