"""What is to become of a Service's external addresses. Pure.

Sources: Service docs ("type: LoadBalancer", "load balancer class", "garbage collecting load balancers"),
KEP-1860 (ipMode).
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum, auto

from sampan.api.objects import Obj, annotations_of, is_deleting
from sampan.controllers.finalizers import has_finalizer
from sampan.controllers.loadbalancer.pool import Pools

FINALIZER = "service.kubernetes.io/load-balancer-cleanup"
OWN_CLASS = "sampan.dev/pool"
ASKED = (
    "sampan.dev/load-balancer-ips",
    "metallb.io/loadBalancerIPs",
    "metallb.universe.tf/loadBalancerIPs",
)
"""Annotations with addresses, commas between them: ours, and what manifests for other machines have."""


class Care(Enum):
    """What the controller has to do with a Service."""

    SERVE = auto()
    """Give it addresses and see that its status says so."""
    CLEAN_UP = auto()
    """It has, or may have, addresses that it no longer wants."""
    LEAVE = auto()
    """Nothing: it is no load balancer, or another's."""


def care(service: Obj, pools: Pools) -> Care:
    balanced = service["spec"].get("type") == "LoadBalancer"
    if balanced and service["spec"].get("loadBalancerClass") not in (None, OWN_CLASS):
        return Care.LEAVE
    if balanced and not is_deleting(service):
        return Care.LEAVE if is_another_s(service, pools) else Care.SERVE
    ours = any(pools.gave(address) for address in addresses(service))
    if ours or (has_finalizer(service, FINALIZER) and (balanced or not is_another_s(service, pools))):
        return Care.CLEAN_UP
    return Care.LEAVE


def is_another_s(service: Obj, pools: Pools) -> bool:
    """Whether somebody else wrote the status: a name, or an address outside of its family's pool.

    Two that both give addresses to Services without a class would otherwise overwrite each other for ever.
    An address of a family that has no pool any more is not another's, but left over, as one of a former pool.
    """
    return any(
        entry.get("hostname") or (pools.serves(ip) and not pools.gave(ip))
        for entry in ingress(service)
        for ip in (entry.get("ip") or "",)
        if entry.get("hostname") or ip
    )


def ingress(service: Obj) -> Sequence[Obj]:
    return ((service.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ()


def addresses(service: Obj) -> list[str]:
    """Those its status names."""
    return [entry["ip"] for entry in ingress(service) if entry.get("ip")]


def asked(service: Obj) -> list[str]:
    """The addresses that its author wants: by annotation, for both families if need be, or by the field."""
    annotations = annotations_of(service)
    told = next((annotations[name] for name in ASKED if annotations.get(name)), "")
    words = told.split(",") if told else [service["spec"].get("loadBalancerIP") or ""]
    return [word.strip() for word in words if word.strip()]


def families(service: Obj) -> list[str]:
    return list(service["spec"].get("ipFamilies") or ["IPv4"])


def status_patch(service: Obj, wanted: Sequence[str]) -> Obj | None:
    """A merge patch of the status that makes it name exactly `wanted`; None if it does.

    The addresses are the node's own business (`VIP`): no proxy stands in between that would hide the client.
    """
    entries = [{"ip": address, "ipMode": "VIP"} for address in wanted]
    if entries == [{"ip": entry.get("ip"), "ipMode": entry.get("ipMode")} for entry in ingress(service)]:
        return None
    return {
        "metadata": {"uid": service["metadata"]["uid"]},
        "status": {"loadBalancer": {"ingress": entries or None}},
    }
