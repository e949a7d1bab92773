"""Every way into a service port, with the mark that a packet gets there: pure.

Sources: the Service API reference; "Virtual IPs and Service Proxies" in the documentation (traffic policies);
`loadBalancerSourceRanges` holds for load balancer addresses alone and for everybody, as in kube-proxy.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, collapse_addresses
from typing import NamedTuple

from sampan.api.objects import Obj
from sampan.proxy.keys import Frontend
from sampan.proxy.table import CLUSTER_IPS, EXTERNAL, KEEP, LOCAL, NODE_PORTS, RANGES, Element, canonical


class Way(NamedTuple):
    """`flags` are put to the service port's key."""

    element: Element
    flags: int


class Front(NamedTuple):
    """What conntrack may remember of a way in. `address` is "" for a node port: any of the node's."""

    family: int
    address: str
    port: int


def ways(service: Obj, port: Obj, frontend: Frontend, family: int) -> Iterator[Way]:
    """The cluster IP's first. External addresses of another family are passed over."""
    spec = service["spec"]
    fe = CLUSTER_IPS[family]
    yield Way(Element(fe, frontend), LOCAL if spec.get("internalTrafficPolicy") == "Local" else 0)
    outside = EXTERNAL | (LOCAL | KEEP if spec.get("externalTrafficPolicy") == "Local" else 0)
    kind = spec.get("type", "ClusterIP")
    if kind in ("NodePort", "LoadBalancer") and port.get("nodePort"):
        yield Way(Element(NODE_PORTS[family], (frontend.protocol, port["nodePort"])), outside)
    for address in map(canonical, spec.get("externalIPs") or ()):
        if _family(address) == family:
            yield Way(Element(fe, (address, frontend.protocol, frontend.port)), outside)
    if kind == "LoadBalancer":
        ranges = RANGES if source_ranges(service, family) else 0
        for address in _ingress(service):
            if _family(address) == family:
                yield Way(Element(fe, (address, frontend.protocol, frontend.port)), outside | ranges)


def front(way: Way, family: int) -> Front | None:
    """The way in as conntrack knows it; None for the cluster IP, which is guarded even without a Service."""
    if not way.flags & EXTERNAL:
        return None
    key = way.element.key
    port = int(key[-1])
    return Front(family, str(key[0]) if way.element.set.startswith("fe") else "", port)


def source_ranges(service: Obj, family: int) -> tuple[str, ...]:
    """Networks that may use the load balancer, without overlap; empty: everybody.

    Networks of the other family say nothing about this one.
    """
    spec = service["spec"]
    if spec.get("type") != "LoadBalancer":
        return ()
    return _networks(tuple(spec.get("loadBalancerSourceRanges") or ()), family)


@lru_cache(maxsize=1 << 10)
def _networks(ranges: tuple[str, ...], family: int) -> tuple[str, ...]:
    texts = [text.strip() for text in ranges if _family(text) == family]
    if family == 6:
        return tuple(map(str, collapse_addresses(IPv6Network(text, strict=False) for text in texts)))
    return tuple(map(str, collapse_addresses(IPv4Network(text, strict=False) for text in texts)))


def has_external_addresses(service: Obj) -> bool:
    """Besides its cluster IPs and node ports."""
    return bool(service["spec"].get("externalIPs")) or any(True for _ in _ingress(service))


def _ingress(service: Obj) -> Iterator[str]:
    """Addresses that lead straight to the node; one that is a proxy's is that proxy's to answer."""
    for ingress in ((service.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ():
        if ingress.get("ip") and ingress.get("ipMode", "VIP") == "VIP":
            yield canonical(ingress["ip"])


def _family(address: str) -> int:
    return 6 if ":" in address else 4
