"""Rules of Ingresses, IngressClasses and NetworkPolicies."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network

from sampan.api import names
from sampan.api.errors import forbidden_value, invalid_value, required, too_long
from sampan.api.objects import Obj
from sampan.api.validation import labels
from sampan.api.validation.check import (
    Errors,
    dicts,
    form,
    needed_form,
    port,
    port_or_name,
    unchanged,
    unsupported,
)
from sampan.api.validation.containers import PROTOCOLS
from sampan.api.validation.meta import path_segment

PATH_TYPES = ("Exact", "ImplementationSpecific", "Prefix")
SCOPES = ("Cluster", "Namespace")
CLASS_ANNOTATION = "kubernetes.io/ingress.class"
MAX_CONTROLLER = 250
POLICY_TYPES = ("Egress", "Ingress")
_PATH_PARTS = ("//", "/./", "/../", "%2f", "%2F")
_PATH_ENDS = ("/..", "/.")


# --- Ingress ------------------------------------------------------------------------------------------------


def ingress(obj: Obj) -> Errors:
    spec = obj.get("spec") or {}
    if not spec.get("rules") and spec.get("defaultBackend") is None:
        yield invalid_value("spec", spec.get("rules"), "either `defaultBackend` or `rules` must be specified")
    if spec.get("defaultBackend") is not None:
        yield from _backend("spec.defaultBackend", spec["defaultBackend"])
    for index, tls in dicts(spec, "tls"):
        for number, host in enumerate(tls.get("hosts") or ()):
            yield from _host(f"spec.tls[{index}].hosts[{number}]", host or "")
        if tls.get("secretName"):
            yield from form(f"spec.tls[{index}].secretName", tls["secretName"], names.dns_subdomain)
    for index, rule in dicts(spec, "rules"):
        yield from _rule(f"spec.rules[{index}]", rule)
    if spec.get("ingressClassName") is not None:
        yield from form("spec.ingressClassName", spec["ingressClassName"], names.dns_subdomain)


def ingress_create(obj: Obj) -> Errors:
    """A new Ingress may not name two classes, by annotation and by field."""
    annotated = (obj["metadata"].get("annotations") or {}).get(CLASS_ANNOTATION)
    named = (obj.get("spec") or {}).get("ingressClassName")
    yield from ingress(obj)
    if annotated is not None and named is not None and annotated != named:
        sentence = "must match `ingressClassName` when both are specified"
        yield invalid_value(f"annotations.{CLASS_ANNOTATION}", annotated, sentence)


def ingress_update(new: Obj, old: Obj) -> Errors:
    return ingress(new)


def ingress_status(new: Obj, old: Obj) -> Errors:
    for index, entry in dicts((new.get("status") or {}).get("loadBalancer"), "ingress"):
        at = f"status.loadBalancer.ingress[{index}]"
        if entry.get("ip"):
            yield from form(f"{at}.ip", entry["ip"], names.ip)
        if host := entry.get("hostname"):
            yield from form(f"{at}.hostname", host, names.dns_subdomain)
            if names.parse_ip(host) is not None:
                yield invalid_value(f"{at}.hostname", host, "must be a DNS name, not an IP address")


def _rule(path: str, rule: Obj) -> Errors:
    host = rule.get("host") or ""
    if host:
        if names.parse_ip(host) is not None:
            yield invalid_value(f"{path}.host", host, "must be a DNS name, not an IP address")
        else:
            yield from _host(f"{path}.host", host)
    http = rule.get("http")
    if http is None:
        return
    if not http.get("paths"):
        yield required(f"{path}.http.paths")
    for index, entry in dicts(http, "paths"):
        at = f"{path}.http.paths[{index}]"
        if entry.get("pathType") is None:
            yield required(f"{at}.pathType", "pathType must be specified")
        else:
            yield from _path(at, entry)
            yield from _backend(f"{at}.backend", entry.get("backend") or {})


def _host(path: str, host: str) -> Errors:
    return form(path, host, names.wildcard_subdomain if "*" in host else names.dns_subdomain)


def _path(path: str, entry: Obj) -> Errors:
    kind, text = entry.get("pathType"), entry.get("path") or ""
    at = f"{path}.path"
    if kind not in PATH_TYPES:
        yield unsupported(f"{path}.pathType", kind, PATH_TYPES)
    elif kind == "ImplementationSpecific":
        if text and not text.startswith("/"):
            yield invalid_value(at, text, "must be an absolute path")
    else:
        if not text.startswith("/"):
            yield invalid_value(at, text, "must be an absolute path")
        for part in _PATH_PARTS:
            if part in text:
                yield invalid_value(at, text, f"must not contain '{part}'")
        for end in _PATH_ENDS:
            if text.endswith(end):
                yield invalid_value(at, text, f"cannot end with '{end}'")


def _backend(path: str, backend: Obj) -> Errors:
    service, resource = backend.get("service"), backend.get("resource")
    if service is not None and resource is not None:
        yield invalid_value(path, "", "cannot set both resource and service backends")
    elif resource is not None:
        yield from _reference(f"{path}.resource", resource)
    elif service is not None:
        yield from _service(path, service)
    else:
        yield invalid_value(path, "", "resource or service backend is required")


def _service(path: str, service: Obj) -> Errors:
    """`path` is the backend's, where also what is wrong with the port as a whole is told."""
    yield from needed_form(f"{path}.service.name", service.get("name"), names.dns_1035_label)
    chosen = service.get("port") or {}
    name, number = chosen.get("name"), chosen.get("number")
    if name and number:
        yield invalid_value(path, "", "cannot set both port name & port number")
    elif name:
        yield from form(f"{path}.service.port.name", name, names.port_name)
    elif number:
        yield from port(f"{path}.service.port.number", number)
    else:
        yield required(path, "port name or number is required")


def _reference(path: str, target: Obj) -> Errors:
    """What is meant by group, kind and name."""
    if target.get("apiGroup") is not None:
        yield from form(f"{path}.apiGroup", target["apiGroup"], names.dns_subdomain)
    for field in ("kind", "name"):
        yield from needed_form(f"{path}.{field}", target.get(field), path_segment)


# --- IngressClass -------------------------------------------------------------------------------------------


def ingress_class(obj: Obj) -> Errors:
    spec = obj.get("spec") or {}
    yield from _controller("spec.controller", spec.get("controller") or "")
    if spec.get("parameters") is not None:
        yield from _parameters("spec.parameters", spec["parameters"])


def ingress_class_update(new: Obj, old: Obj) -> Errors:
    now, was = new.get("spec") or {}, old.get("spec") or {}
    yield from unchanged("spec.controller", now.get("controller"), was.get("controller"))
    yield from ingress_class(new)


def _controller(path: str, text: str) -> Errors:
    """A path below a domain, which keeps everybody's names apart."""
    domain, _, rest = text.partition("/")
    if not text:
        yield required(path)
        return
    if len(text) > MAX_CONTROLLER:
        yield too_long(path, MAX_CONTROLLER)
    if not domain or not rest:
        yield invalid_value(path, text, 'must be a domain-prefixed path (such as "acme.io/foo")')
        return
    yield from form(path, domain, names.dns_subdomain)
    yield from form(path, rest, names.http_path)


def _parameters(path: str, target: Obj) -> Errors:
    yield from _reference(path, target)
    scope, namespace = target.get("scope"), target.get("namespace")
    at = f"{path}.namespace"
    if scope is None:
        yield required(f"{path}.scope")
    elif scope not in SCOPES:
        yield unsupported(f"{path}.scope", scope, SCOPES)
    elif scope == "Cluster":
        if namespace is not None:
            yield forbidden_value(at, "`parameters.scope` is set to 'Cluster'")
    elif namespace is None:
        yield required(at, "`parameters.scope` is set to 'Namespace'")
    else:
        yield from form(at, namespace, names.dns_label)


# --- NetworkPolicy ------------------------------------------------------------------------------------------


def network_policy(obj: Obj) -> Errors:
    spec = obj.get("spec") or {}
    yield from labels.selector("spec.podSelector", spec.get("podSelector"))
    for direction, peers in (("ingress", "from"), ("egress", "to")):
        for index, rule in dicts(spec, direction):
            at = f"spec.{direction}[{index}]"
            for number, entry in dicts(rule, "ports"):
                yield from _policy_port(f"{at}.ports[{number}]", entry)
            for number, peer in dicts(rule, peers):
                yield from _peer(f"{at}.{peers}[{number}]", peer)
    kinds = spec.get("policyTypes") or ()
    if len(kinds) > len(POLICY_TYPES):
        yield invalid_value("spec.policyTypes", list(kinds), "may not specify more than two policyTypes")
        return
    for index, kind in enumerate(kinds):
        if kind not in POLICY_TYPES:
            yield unsupported(f"spec.policyTypes[{index}]", kind, POLICY_TYPES)


def network_policy_update(new: Obj, old: Obj) -> Errors:
    return network_policy(new)


def _policy_port(path: str, entry: Obj) -> Errors:
    first, last = entry.get("port"), entry.get("endPort")
    if entry.get("protocol") not in (None, *PROTOCOLS):
        yield unsupported(f"{path}.protocol", entry["protocol"], PROTOCOLS)
    if first is not None:
        yield from port_or_name(f"{path}.port", first)
    if last is None:
        return
    at = f"{path}.endPort"
    if first is None:
        yield invalid_value(at, last, "may not be specified when `port` is not specified")
    elif isinstance(first, str):
        yield invalid_value(at, last, "may not be specified when `port` is non-numeric")
    elif last < first:
        yield invalid_value(at, last, "must be greater than or equal to `port`")
    else:
        yield from port(at, last)


def _peer(path: str, peer: Obj) -> Errors:
    given = [
        field for field in ("podSelector", "namespaceSelector", "ipBlock") if peer.get(field) is not None
    ]
    for field in given:
        if field == "ipBlock":
            yield from _ip_block(f"{path}.ipBlock", peer["ipBlock"])
        else:
            yield from labels.selector(f"{path}.{field}", peer[field])
    if not given:
        yield required(path, "must specify a peer")
    elif len(given) > 1 and "ipBlock" in given:
        yield forbidden_value(path, "may not specify both ipBlock and another peer")


def _ip_block(path: str, block: Obj) -> Errors:
    text = block.get("cidr") or ""
    if not text:
        yield required(f"{path}.cidr")
        return
    yield from form(f"{path}.cidr", text, names.network)
    outer = names.parse_network(text)
    if outer is None:
        return
    for index, entry in enumerate(block.get("except") or ()):
        at, inner = f"{path}.except[{index}]", names.parse_network(entry or "")
        if inner is None:
            yield from form(at, entry or "", names.network)
        elif not _strictly_within(inner, outer):
            yield invalid_value(at, entry, "must be a strict subset of `cidr`")


def _strictly_within(inner: IPv4Network | IPv6Network, outer: IPv4Network | IPv6Network) -> bool:
    if isinstance(inner, IPv6Network):
        return isinstance(outer, IPv6Network) and inner != outer and inner.subnet_of(outer)
    return isinstance(outer, IPv4Network) and inner != outer and inner.subnet_of(outer)
