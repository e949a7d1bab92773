"""Which nodes a Service's traffic may enter by. Pure.

A Service with `externalTrafficPolicy: Local` is served by the nodes that have endpoints of it; the others
drop what comes from outside. So whoever leads traffic in does what a cloud's load balancer does by health
checks: he goes to the nodes that have endpoints.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from ipaddress import ip_address

from sampan.api.objects import Obj
from sampan.kubelet.network.netlink import Address, Network, host_route

Ways = Mapping[Network, tuple[Address, ...]]
"""Gateways by the network that is reached through them."""


def entrances(
    service: Obj, slices: Iterable[Obj], nodes: Mapping[str, Sequence[Address]], version: int
) -> tuple[Address, ...]:
    """The addresses of the nodes that have endpoints of this family; of none if there are no endpoints.

    `nodes`: addresses by node name. While no endpoint is ready, those that serve to their end count.
    """
    endpoints = [
        endpoint
        for each in slices
        if each.get("addressType") == f"IPv{version}"
        for endpoint in each.get("endpoints") or ()
    ]
    ready = [each for each in endpoints if (each.get("conditions") or {}).get("ready") is not False]
    serving = [each for each in endpoints if (each.get("conditions") or {}).get("serving")]
    names = sorted({each.get("nodeName") or "" for each in ready or serving})
    return tuple(ip for name in names for ip in nodes.get(name, ()) if ip.version == version)


def ways(service: Obj, slices: Iterable[Obj], nodes: Mapping[str, Sequence[Address]]) -> Ways:
    """Its addresses from outside with the nodes that have endpoints; none of a Service that any serves."""
    if not keeps_to_nodes(service):
        return {}
    known = list(slices)
    found: dict[Network, tuple[Address, ...]] = {}
    for address in (*balanced(service), *external(service)):
        if gateways := entrances(service, known, nodes, address.version):
            found[host_route(address)] = gateways
    return found


def keeps_to_nodes(service: Obj) -> bool:
    return (service.get("spec") or {}).get("externalTrafficPolicy") == "Local"


def balanced(service: Obj) -> list[Address]:
    """What a load balancer gave it."""
    entries = ((service.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ()
    return [ip_address(entry["ip"]) for entry in entries if entry.get("ip")]


def external(service: Obj) -> list[Address]:
    return [ip_address(text) for text in (service.get("spec") or {}).get("externalIPs") or ()]


def node_addresses(node: Obj) -> tuple[Address, ...]:
    entries = (node.get("status") or {}).get("addresses") or ()
    return tuple(ip_address(entry["address"]) for entry in entries if entry.get("type") == "InternalIP")
