"""Which groups, versions and resources there are, as clients ask for it: per group (plain) or all at once
(aggregated, `apidiscovery.k8s.io`). Built from the resource table and whatever resources are served besides.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable
from typing import Any

from sampan.api import resources
from sampan.api.objects import Obj
from sampan.api.resources import Resource, Subresource

# Upstream's order of the built-in groups (by priority, then name); others follow by name.
GROUP_ORDER = (
    "",
    "apiregistration.k8s.io",
    "apps",
    "events.k8s.io",
    "authentication.k8s.io",
    "authorization.k8s.io",
    "autoscaling",
    "batch",
    "certificates.k8s.io",
    "networking.k8s.io",
    "policy",
    "rbac.authorization.k8s.io",
    "storage.k8s.io",
    "admissionregistration.k8s.io",
    "apiextensions.k8s.io",
    "scheduling.k8s.io",
    "coordination.k8s.io",
    "node.k8s.io",
    "discovery.k8s.io",
    "flowcontrol.apiserver.k8s.io",
    "internal.apiserver.k8s.io",
    "resource.k8s.io",
    "storagemigration.k8s.io",
)
# Kinds that are stored as another group's.
_STORED_AS = {("events.k8s.io", "Event"): "/v1/Event"}


def core_versions(server_address: str = "") -> Obj:
    """GET /api; `server_address` is `host:port`."""
    return {
        "kind": "APIVersions",
        "versions": ["v1"],
        "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": server_address}],
    }


def group_list(extra: Iterable[Resource] = ()) -> Obj:
    """GET /apis; `extra` are resources served besides the built-in ones, here and below."""
    groups = [_group(name, versions) for name, versions in _groups(extra) if name]
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}


def group(name: str, extra: Iterable[Resource] = ()) -> Obj | None:
    """GET /apis/GROUP; None when there is no such group."""
    for known, versions in _groups(extra):
        if name and known == name:
            return {"kind": "APIGroup", "apiVersion": "v1", **_group(name, versions)}
    return None


def resource_list(group_name: str, version: str, extra: Iterable[Resource] = ()) -> Obj | None:
    """GET /api/v1, GET /apis/GROUP/VERSION; None when there is no such version."""
    found = _by_version(group_name, extra).get(version)
    if found is None:
        return None
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": f"{group_name}/{version}" if group_name else version,
        "resources": [entry for resource in found for entry in _entries(resource, extra)],
    }


def aggregated_core(api_version: str = "v2") -> Obj:
    """GET /api as APIGroupDiscoveryList of `apidiscovery.k8s.io/{api_version}` (v2, v2beta1)."""
    return _aggregated([("", ["v1"])], api_version, ())


def aggregated_groups(api_version: str = "v2", extra: Iterable[Resource] = ()) -> Obj:
    """GET /apis as APIGroupDiscoveryList."""
    return _aggregated([entry for entry in _groups(extra) if entry[0]], api_version, extra)


# --- groups and versions ---


def _groups(extra: Iterable[Resource]) -> list[tuple[str, list[str]]]:
    """(group, versions with the preferred one first), in upstream's order."""
    found: dict[str, set[str]] = {}
    for resource in _served(extra):
        found.setdefault(resource.group, set()).add(resource.version)
    known = {name: place for place, name in enumerate(GROUP_ORDER)}
    names = sorted(found, key=lambda name: (known.get(name, len(known)), name))
    return [(name, sorted(found[name], key=version_priority)) for name in names]


_VERSION = re.compile(r"v(\d+)(?:(alpha|beta)(\d+))?").fullmatch
_STABILITY = {None: 0, "beta": 1, "alpha": 2}


def version_priority(version: str) -> tuple[Any, ...]:
    """Sorts versions, most preferred first: v2, v1, v1beta2, v1beta1, v1alpha1, then other names."""
    match = _VERSION(version)
    if match is None:
        return (3, 0, 0, version)
    major, stability, minor = match.groups()
    return (_STABILITY[stability], -int(major), -int(minor or 0), "")


def _served(extra: Iterable[Resource]) -> list[Resource]:
    return [resource for resource in (*resources.all_resources(), *extra) if resource.served]


def _by_version(group_name: str, extra: Iterable[Resource]) -> dict[str, list[Resource]]:
    found: dict[str, list[Resource]] = {}
    for resource in sorted(_served(extra), key=lambda resource: resource.plural):
        if resource.group == group_name:
            found.setdefault(resource.version, []).append(resource)
    return found


# --- plain ---


def _group(name: str, versions: list[str]) -> Obj:
    entries = [{"groupVersion": f"{name}/{version}", "version": version} for version in versions]
    return {"name": name, "versions": entries, "preferredVersion": entries[0]}


def _entries(resource: Resource, extra: Iterable[Resource]) -> list[Obj]:
    """APIResource of the resource and of each of its subresources."""
    entry: Obj = {
        "name": resource.plural,
        "singularName": resource.singular,
        "namespaced": resource.namespaced,
        "kind": resource.kind,
        "verbs": list(resource.verbs),
    }
    if resource.short_names:
        entry["shortNames"] = list(resource.short_names)
    if resource.categories:
        entry["categories"] = list(resource.categories)
    if "watch" in resource.verbs:
        entry["storageVersionHash"] = _storage_version_hash(resource, extra)
    return [entry, *(_subresource_entry(resource, sub) for sub in resource.subresources if sub.served)]


def _subresource_entry(resource: Resource, sub: Subresource) -> Obj:
    entry: Obj = {
        "name": f"{resource.plural}/{sub.name}",
        "singularName": "",
        "namespaced": resource.namespaced,
        "kind": sub.kind,
        "verbs": list(sub.verbs),
    }
    if (sub.group, sub.version) != (resource.group, resource.version):
        entry["group"], entry["version"] = sub.group, sub.version
    return entry


def _storage_version_hash(resource: Resource, extra: Iterable[Resource]) -> str:
    """Tells clients whether two versions share storage; the preferred version is the one that is stored."""
    versions = {
        other.version
        for other in _served(extra)
        if (other.group, other.kind) == (resource.group, resource.kind)
    }
    stored = f"{resource.group}/{min(versions, key=version_priority)}/{resource.kind}"
    text = _STORED_AS.get((resource.group, resource.kind), stored)
    return base64.b64encode(hashlib.sha256(text.encode()).digest()[:8]).decode()


# --- aggregated ---


def _aggregated(groups: list[tuple[str, list[str]]], api_version: str, extra: Iterable[Resource]) -> Obj:
    return {
        "kind": "APIGroupDiscoveryList",
        "apiVersion": f"apidiscovery.k8s.io/{api_version}",
        "metadata": {},
        "items": [
            {
                "metadata": {"name": name, "creationTimestamp": None},
                "versions": [
                    {
                        "version": version,
                        "resources": [_aggregated_resource(item) for item in by_version[version]],
                        "freshness": "Current",
                    }
                    for version in versions
                ],
            }
            for name, versions in groups
            for by_version in [_by_version(name, extra)]
        ],
    }


def _aggregated_resource(resource: Resource) -> Obj:
    entry: Obj = {
        "resource": resource.plural,
        "responseKind": _kind(resource.group, resource.version, resource.kind),
        "scope": "Namespaced" if resource.namespaced else "Cluster",
        "singularResource": resource.singular,
        "verbs": list(resource.verbs),
    }
    if resource.short_names:
        entry["shortNames"] = list(resource.short_names)
    if resource.categories:
        entry["categories"] = list(resource.categories)
    if any(sub.served for sub in resource.subresources):
        entry["subresources"] = [
            {
                "subresource": sub.name,
                "responseKind": _kind(sub.group, sub.version, sub.kind),
                "verbs": list(sub.verbs),
            }
            for sub in resource.subresources
            if sub.served
        ]
    return entry


def _kind(group_name: str, version: str, kind: str) -> Obj:
    return {"group": group_name, "version": version, "kind": kind}
