"""Rules of ServiceCIDRs and IPAddresses; how an IPAddress is to be named is a rule of metadata."""

from __future__ import annotations

from sampan.api import names
from sampan.api.errors import invalid_value, required
from sampan.api.objects import Obj
from sampan.api.validation.check import IMMUTABLE, Errors, complain, form, needed_form, unchanged
from sampan.api.validation.meta import path_segment

ONE_PER_FAMILY = "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64"
CIDRS = "spec.cidrs"


def service_cidr(obj: Obj) -> Errors:
    cidrs = (obj.get("spec") or {}).get("cidrs") or []
    if not cidrs:
        yield required(CIDRS, "at least one CIDR required")
        return
    if len(cidrs) > 2:
        yield invalid_value(CIDRS, cidrs, "may only hold up to 2 values")
        return
    for index, cidr in enumerate(cidrs):
        yield from complain(f"{CIDRS}[{index}]", cidr, names.canonical_network(cidr or ""))
    found = [names.parse_network(cidr or "") for cidr in cidrs]
    versions = [network.version for network in found if network is not None]
    if len(versions) == 2 and versions[0] == versions[1]:
        yield invalid_value(CIDRS, cidrs, ONE_PER_FAMILY)


def service_cidr_update(new: Obj, old: Obj) -> Errors:
    """A second family may be added; nothing else changes."""
    now, was = ((obj.get("spec") or {}).get("cidrs") or [] for obj in (new, old))
    if len(now) == len(was):
        for index, (after, before) in enumerate(zip(now, was, strict=True)):
            if after != before:
                yield invalid_value(f"{CIDRS}[{index}]", after, IMMUTABLE)
    elif len(was) == 1 and len(now) == 2:
        if now[0] != was[0]:
            yield invalid_value(f"{CIDRS}[0]", now[0], IMMUTABLE)
        yield from service_cidr(new)
    else:
        yield invalid_value(CIDRS, now, IMMUTABLE)


def ip_address(obj: Obj) -> Errors:
    parent = (obj.get("spec") or {}).get("parentRef")
    path = "spec.parentRef"
    if parent is None:
        yield required(path)
        return
    # The group of Services is the empty one, so that it cannot be asked for.
    if parent.get("group"):
        yield from form(f"{path}.group", parent["group"], names.dns_subdomain)
    yield from needed_form(f"{path}.resource", parent.get("resource"), path_segment)
    yield from needed_form(f"{path}.name", parent.get("name"), path_segment)
    if parent.get("namespace"):
        yield from form(f"{path}.namespace", parent["namespace"], path_segment)


def ip_address_update(new: Obj, old: Obj) -> Errors:
    now, was = ((obj.get("spec") or {}).get("parentRef") for obj in (new, old))
    return unchanged("spec.parentRef", now, was)
