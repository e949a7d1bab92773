"""Rules of Endpoints and EndpointSlices: where traffic may be sent."""

from __future__ import annotations

from functools import lru_cache

from sampan.api import names
from sampan.api.errors import duplicate, invalid_value, required, too_many
from sampan.api.objects import Obj
from sampan.api.validation import labels
from sampan.api.validation.check import Errors, complain, dicts, form, needed, one_of, port, unchanged
from sampan.api.validation.containers import PROTOCOLS

ADDRESS_TYPES = ("FQDN", "IPv4", "IPv6")
MAX_ADDRESSES, MAX_ENDPOINTS, MAX_PORTS = 100, 1000, 20000
MAX_HINTS, MAX_TOPOLOGY_LABELS = 8, 16


def special_address(path: str, text: str) -> Errors:
    """Addresses that mean somebody else on every machine are no place to send traffic to."""
    complaints = _complaints(text)
    if complaints is None:
        yield from form(path, text, names.ip)
        return
    for complaint in complaints:
        yield invalid_value(path, text, complaint)


@lru_cache(maxsize=4096)
def _complaints(text: str) -> tuple[str, ...] | None:
    """None: it is no address. Remembered, for a list comes with all its addresses whenever one changes."""
    address = names.parse_ip(text)
    if address is None:
        return None
    complaints = []
    if address.is_unspecified:
        complaints.append(f"may not be unspecified ({text})")
    if address.is_loopback:
        complaints.append("may not be in the loopback range (127.0.0.0/8, ::1/128)")
    if address.is_link_local:
        complaints.append("may not be in the link-local range (169.254.0.0/16, fe80::/10)")
    if address.is_multicast and _stays_on_the_link(address.packed):
        complaints.append("may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)")
    return tuple(complaints)


def _stays_on_the_link(multicast: bytes) -> bool:
    """224.0.0.0/24; in IPv6 the second half of the second byte is the scope."""
    return multicast[:3] == b"\xe0\0\0" if len(multicast) == 4 else multicast[1] & 0x0F == 2


# --- Endpoints ----------------------------------------------------------------------------------------------


def create(endpoints: Obj) -> Errors:
    for index, subset in dicts(endpoints, "subsets"):
        at = f"subsets[{index}]"
        if not subset.get("addresses") and not subset.get("notReadyAddresses"):
            yield required(at, "must specify `addresses` or `notReadyAddresses`")
        for key in ("addresses", "notReadyAddresses"):
            for place, address in dicts(subset, key):
                yield from _address(f"{at}.{key}[{place}]", address)
        ports = dicts(subset, "ports")
        for place, entry in ports:
            yield from _port(f"{at}.ports[{place}]", entry, name_needed=len(ports) > 1)


def update(new: Obj, old: Obj) -> Errors:
    return create(new)


def _address(path: str, address: Obj) -> Errors:
    text = address.get("ip") or ""
    if _complaints(text) is None:
        yield from form(f"{path}.ip", text, names.ip)
    if address.get("hostname"):
        yield from form(f"{path}.hostname", address["hostname"], names.dns_label)
    if address.get("nodeName") is not None:
        yield from form(f"{path}.nodeName", address["nodeName"], names.dns_subdomain)
    yield from special_address(f"{path}.ip", text)


def _port(path: str, entry: Obj, *, name_needed: bool) -> Errors:
    if entry.get("name"):
        yield from form(f"{path}.name", entry["name"], names.dns_label)
    elif name_needed:
        yield required(f"{path}.name")
    yield from port(f"{path}.port", entry.get("port"))
    yield from one_of(f"{path}.protocol", entry.get("protocol"), PROTOCOLS)
    if entry.get("appProtocol") is not None:
        yield from form(f"{path}.appProtocol", entry["appProtocol"], names.qualified_name)


# --- EndpointSlices -----------------------------------------------------------------------------------------


def create_slice(obj: Obj) -> Errors:
    kind = obj.get("addressType")
    if not kind:
        yield required("addressType")
    else:
        yield from one_of("addressType", kind, ADDRESS_TYPES)
    yield from _slice_endpoints("endpoints", obj, kind)
    yield from _slice_ports("ports", obj)


def update_slice(new: Obj, old: Obj) -> Errors:
    yield from create_slice(new)
    yield from unchanged("addressType", new.get("addressType"), old.get("addressType"))


def _slice_endpoints(path: str, obj: Obj, kind: str | None) -> Errors:
    endpoints = dicts(obj, "endpoints")
    if len(endpoints) > MAX_ENDPOINTS:
        yield too_many(path, len(endpoints), MAX_ENDPOINTS)
        return
    for index, endpoint in endpoints:
        at = f"{path}[{index}]"
        addresses = endpoint.get("addresses") or []
        if not addresses:
            yield required(f"{at}.addresses", "must contain at least 1 address")
        elif len(addresses) > MAX_ADDRESSES:
            yield too_many(f"{at}.addresses", len(addresses), MAX_ADDRESSES)
        for place, address in enumerate(addresses):
            yield from _slice_address(f"{at}.addresses[{place}]", address or "", kind)
        if endpoint.get("nodeName") is not None:
            yield from form(f"{at}.nodeName", endpoint["nodeName"], names.dns_subdomain)
        topology = endpoint.get("deprecatedTopology") or {}
        if len(topology) > MAX_TOPOLOGY_LABELS:
            yield too_many(f"{at}.deprecatedTopology", len(topology), MAX_TOPOLOGY_LABELS)
        yield from labels.label_map(f"{at}.deprecatedTopology", topology)
        if endpoint.get("hostname") is not None:
            yield from form(f"{at}.hostname", endpoint["hostname"], names.dns_label)
        yield from _hints(f"{at}.hints", endpoint.get("hints") or {})


def _slice_address(path: str, address: str, kind: str | None) -> Errors:
    if kind == "FQDN":
        yield from form(path, address, _domain_name)
        return
    wrong_family = {"IPv4": ":" in address, "IPv6": ":" not in address}.get(kind or "", False)
    if _complaints(address) is None:
        yield from form(path, address, names.ip)
    elif wrong_family:
        yield invalid_value(path, address, f"must be an {kind} address")
    else:
        yield from special_address(path, address)


def _domain_name(text: str) -> list[str]:
    complaints = names.dns_subdomain(text.removesuffix("."))
    if not complaints and len(text.removesuffix(".").split(".")) < 2:
        return ["should be a domain with at least two segments separated by dots"]
    return complaints


def _hints(path: str, hints: Obj) -> Errors:
    for field in ("forZones", "forNodes"):
        entries = dicts(hints, field)
        if len(entries) > MAX_HINTS:
            yield too_many(f"{path}.{field}", len(entries), MAX_HINTS)
            continue
        seen = set()
        for index, entry in entries:
            at, name = f"{path}.{field}[{index}].name", entry.get("name") or ""
            if name in seen:
                yield duplicate(at, name)
            elif field == "forZones":
                yield from form(at, name, names.label_value)
            else:
                yield from form(at, name, names.dns_subdomain)
            seen.add(name)


def _slice_ports(path: str, obj: Obj) -> Errors:
    ports = dicts(obj, "ports")
    if len(ports) > MAX_PORTS:
        yield too_many(path, len(ports), MAX_PORTS)
        return
    seen = set()
    for index, entry in ports:
        at, name = f"{path}[{index}]", entry.get("name") or ""
        if name:
            yield from complain(f"{at}.name", name, names.dns_label(name))
        if name in seen:
            yield duplicate(f"{at}.name", name)
        seen.add(name)
        yield from needed(f"{at}.protocol", entry.get("protocol"))
        if entry.get("protocol"):
            yield from one_of(f"{at}.protocol", entry["protocol"], PROTOCOLS)
        if entry.get("port") is not None:
            yield from port(f"{at}.port", entry["port"])
        if entry.get("appProtocol") is not None:
            yield from form(f"{at}.appProtocol", entry["appProtocol"], names.qualified_name)
