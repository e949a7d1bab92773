"""IPAddress objects: one for each cluster address, named as the address is written.

The object says to whom an address belongs; for Services it is written in the Service's own transaction, so
that neither is ever there without the other. Others (gateways, say) may take addresses of the same ranges by
making such objects themselves. Source: KEP-1880, reference of networking.k8s.io/v1 IPAddress.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

from sampan.api.objects import Obj
from sampan.api.resources import IP_ADDRESSES
from sampan.apiserver import metadata
from sampan.apiserver.conversion import storage_prefix
from sampan.apiserver.registry.families import family_of

FAMILY_LABEL = "ipaddress.kubernetes.io/ip-family"
MANAGED_BY_LABEL = "ipaddress.kubernetes.io/managed-by"
ALLOCATOR = "ipallocator.k8s.io"
"""Whoever gives out cluster addresses to Services; only its objects are ever cleaned up."""

_PREFIX = storage_prefix(IP_ADDRESSES)


def key_of(address: IPv4Address | IPv6Address | str) -> str:
    """The store's key of an address in its canonical form."""
    return f"{_PREFIX}{address}"


def wanted(address: str, namespace: str, name: str) -> Obj:
    """The object for a Service's address, as a client would send it."""
    return {
        "apiVersion": IP_ADDRESSES.api_version,
        "kind": IP_ADDRESSES.kind,
        "metadata": {
            "name": address,
            "labels": {FAMILY_LABEL: family_of(address), MANAGED_BY_LABEL: ALLOCATOR},
        },
        "spec": {"parentRef": {"resource": "services", "namespace": namespace, "name": name}},
    }


def made(address: str, service: Obj) -> Obj:
    """The object for an address of `service`, ready to be stored."""
    fields = service["metadata"]
    obj = wanted(address, fields["namespace"], fields["name"])
    metadata.prepare_create(IP_ADDRESSES, obj)
    return metadata.in_order(obj)


def is_managed(obj: Obj) -> bool:
    return (obj["metadata"].get("labels") or {}).get(MANAGED_BY_LABEL) == ALLOCATOR


def is_labelled(obj: Obj) -> bool:
    """Whether it has the labels of an address that was given to a Service."""
    labels = obj["metadata"].get("labels") or {}
    return is_managed(obj) and labels.get(FAMILY_LABEL) == family_of(obj["metadata"]["name"])


def service_of(obj: Obj) -> tuple[str, str] | None:
    """Namespace and name of the Service it belongs to; None if it belongs to something else."""
    parent = (obj.get("spec") or {}).get("parentRef") or {}
    if parent.get("group") or parent.get("resource") != "services":
        return None
    return parent.get("namespace", ""), parent.get("name", "")
