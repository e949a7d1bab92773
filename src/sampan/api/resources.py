"""Which resources there are: one row per REST resource of Kubernetes 1.35, read from `data/resources.json`.

The table is data; nothing here knows what a Pod means. Constants at the end name rows that code speaks of.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import orjson

DATA = Path(__file__).with_name("data")
"""Tables made ahead. Not by `importlib.resources`, which has `zipfile` and more stay in memory."""


@dataclass(frozen=True, slots=True)
class Subresource:
    """`pods/log`, `deployments/scale`: own verbs, and a kind that may live in another group.

    One that is not `served` yet is not found, so that kubectl takes the other way it has.
    """

    name: str
    verbs: tuple[str, ...]
    group: str = ""
    version: str = ""
    kind: str = ""
    served: bool = True


@dataclass(frozen=True, slots=True)
class Resource:
    """One REST resource of one API version."""

    group: str
    version: str
    kind: str
    plural: str
    singular: str
    namespaced: bool
    verbs: tuple[str, ...] = ()
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    subresources: tuple[Subresource, ...] = ()
    list_kind: str = ""
    served: bool = True

    def __hash__(self) -> int:
        """Of what tells rows apart: resources are keys of many tables, on every request's way."""
        return hash((self.group, self.version, self.plural))

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def qualified(self) -> str:
        """`pods`, `deployments.apps`: how error messages and RBAC name it."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def base_path(self) -> str:
        return f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """The URL path of a collection (no name) or an object; an empty namespace means all of them."""
        parts = [self.base_path]
        if self.namespaced and namespace:
            parts += ["namespaces", namespace]
        parts += [part for part in (self.plural, name, subresource) if part]
        return "/".join(parts)

    def subresource(self, name: str) -> Subresource | None:
        return next((sub for sub in self.subresources if sub.name == name), None)


@cache
def all_resources() -> tuple[Resource, ...]:
    """Every row, in upstream's group order."""
    rows = orjson.loads(DATA.joinpath("resources.json").read_bytes())
    return tuple(
        Resource(
            group=row["group"],
            version=row["version"],
            kind=row["kind"],
            plural=row["plural"],
            singular=row["singular"],
            namespaced=row["scope"] == "Namespaced",
            verbs=tuple(row["verbs"]),
            short_names=tuple(row["shortNames"]),
            categories=tuple(row["categories"]),
            subresources=tuple(
                Subresource(
                    sub["name"],
                    tuple(sub["verbs"]),
                    sub.get("group", row["group"]),
                    sub.get("version", row["version"]),
                    sub.get("kind", row["kind"]),
                    sub.get("served", True),
                )
                for sub in row["subresources"]
            ),
            list_kind=row.get("listKind", ""),
            served=row["served_by_default"],
        )
        for row in rows
    )


NODE_METRICS = Resource(
    "metrics.k8s.io",
    "v1beta1",
    "NodeMetrics",
    "nodes",
    "",
    False,
    ("get", "list"),
    list_kind="NodeMetricsList",
)
POD_METRICS = Resource(
    "metrics.k8s.io", "v1beta1", "PodMetrics", "pods", "", True, ("get", "list"), list_kind="PodMetricsList"
)
COMPUTED = (NODE_METRICS, POD_METRICS)
"""Answered when asked for, and stored nowhere; an add-on's elsewhere, here built in."""


@cache
def _by_plural() -> dict[tuple[str, str, str], Resource]:
    rows = (*all_resources(), *COMPUTED)
    return {(r.group, r.version, r.plural): r for r in rows if r.served}


@cache
def _by_kind() -> dict[tuple[str, str], Resource]:
    return {(r.api_version, r.kind): r for r in reversed(all_resources()) if r.served}


def find(group: str, version: str, plural: str) -> Resource | None:
    """The served resource of a URL, or None."""
    return _by_plural().get((group, version, plural))


def find_kind(api_version: str, kind: str) -> Resource | None:
    """The served resource whose objects carry this apiVersion and kind, or None."""
    return _by_kind().get((api_version, kind))


def resource(group: str, version: str, plural: str) -> Resource:
    """Like `find`, for resources that are known to exist; raises KeyError."""
    return _by_plural()[(group, version, plural)]


PODS = resource("", "v1", "pods")
SERVICES = resource("", "v1", "services")
ENDPOINTS = resource("", "v1", "endpoints")
ENDPOINT_SLICES = resource("discovery.k8s.io", "v1", "endpointslices")
DEPLOYMENTS = resource("apps", "v1", "deployments")
REPLICA_SETS = resource("apps", "v1", "replicasets")
REPLICATION_CONTROLLERS = resource("", "v1", "replicationcontrollers")
NAMESPACES = resource("", "v1", "namespaces")
NODES = resource("", "v1", "nodes")
CONFIG_MAPS = resource("", "v1", "configmaps")
SECRETS = resource("", "v1", "secrets")
SERVICE_ACCOUNTS = resource("", "v1", "serviceaccounts")
EVENTS = resource("", "v1", "events")
LEASES = resource("coordination.k8s.io", "v1", "leases")
NETWORK_POLICIES = resource("networking.k8s.io", "v1", "networkpolicies")
SERVICE_CIDRS = resource("networking.k8s.io", "v1", "servicecidrs")
IP_ADDRESSES = resource("networking.k8s.io", "v1", "ipaddresses")
PRIORITY_CLASSES = resource("scheduling.k8s.io", "v1", "priorityclasses")
RUNTIME_CLASSES = resource("node.k8s.io", "v1", "runtimeclasses")
PERSISTENT_VOLUMES = resource("", "v1", "persistentvolumes")
PERSISTENT_VOLUME_CLAIMS = resource("", "v1", "persistentvolumeclaims")
CERTIFICATE_REQUESTS = resource("certificates.k8s.io", "v1", "certificatesigningrequests")
STORAGE_CLASSES = resource("storage.k8s.io", "v1", "storageclasses")
