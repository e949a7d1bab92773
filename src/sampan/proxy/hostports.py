"""Host ports of a node's Pods as table elements. Pure.

A host port is a service port with one endpoint: its key leads to the Pod by the same maps, and with the flags
LOCAL and KEEP, so that the Pod sees the client's own address. All of a node's host ports are one fragment.

Sources: ContainerPort in the API reference; the behaviour of the CNI plugin portmap. A node port of the same
number wins, as it does where kube-proxy's rules stand before portmap's. A port that two Pods claim is that of
the older. A Pod's host ports end when the Pod begins to: nobody is led to a server that is told to stop.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from ipaddress import ip_address
from typing import NamedTuple

from sampan.api.objects import Obj
from sampan.api.podspec import is_sidecar, is_terminal, pod_ips
from sampan.proxy.frontends import Front
from sampan.proxy.keys import Frontend
from sampan.proxy.rules import EMPTY, Flows, Fragment, NodeFacts
from sampan.proxy.table import KEEP, LOCAL, Element, Endpoint, Table

_UNSPECIFIED = frozenset({"", "0.0.0.0", "::"})
_LOOPBACK = "127.0.0.1"
"""IPv6 has no counterpart: its kernel never lets a packet from ::1 leave for a Pod."""


class HostPort(NamedTuple):
    """One address, protocol and port of the node, and where it leads."""

    frontend: Frontend
    endpoint: Endpoint


def has_host_ports(pod: Obj) -> bool:
    """Whether the Pod asks for any; one on the host's network has them already."""
    return any(True for _ in _wanted(pod))


def host_ports(pod: Obj, facts: NodeFacts) -> list[HostPort]:
    """What leads to the Pod now: nothing before it has an address and once it is about to end.

    An address that is neither the node's nor a loopback one is nobody's here, and not taken from others.
    """
    if pod["metadata"].get("deletionTimestamp") or is_terminal(pod):
        return []
    return [
        HostPort(Frontend(address, port.get("protocol", "TCP").lower(), port["hostPort"]), end)
        for port in _wanted(pod)
        for ip in pod_ips(pod)
        for end in [(ip, port["containerPort"])]
        for address in _addresses(port.get("hostIP") or "", _version(ip), facts)
    ]


def fragment(pods: Iterable[Obj], facts: NodeFacts, key_of: Callable[[Frontend], int]) -> Fragment:
    """The rules of all host ports of these Pods."""
    chosen: dict[Frontend, Endpoint] = {}
    for pod in sorted(pods, key=_age):
        for frontend, end in host_ports(pod, facts):
            chosen.setdefault(frontend, end)
    if not chosen:
        return EMPTY
    elements: Table = {}
    shared: Table = {Element("class", (1,)): ("n1",)}
    flows: set[Flows] = set()
    udp_fronts: set[Front] = set()
    for frontend, end in chosen.items():
        family = _version(end[0])
        key = key_of(frontend)
        elements[Element(f"hp{family}", frontend)] = (key | LOCAL | KEEP,)
        elements[Element("svc", (key | LOCAL,))] = (1,)
        elements[Element(f"ep{family}", (key | LOCAL, 0))] = end
        shared[Element(f"hair{family}", (end[0], end[0]))] = ()
        if frontend.protocol == "udp":
            flows.add(Flows(key, *end))
            udp_fronts.add(Front(family, frontend.address, frontend.port))
    return Fragment(
        elements,
        shared,
        tuple(chosen),
        tuple({end[0] for end in chosen.values()}),
        flows=frozenset(flows),
        udp_fronts=frozenset(udp_fronts),
    )


def _wanted(pod: Obj) -> Iterator[Obj]:
    spec = pod["spec"]
    if spec.get("hostNetwork"):
        return
    sidecars = [container for container in spec.get("initContainers") or () if is_sidecar(container)]
    for container in (*sidecars, *(spec.get("containers") or ())):
        for port in container.get("ports") or ():
            if port.get("hostPort"):
                yield port


def _addresses(host_ip: str, family: int, facts: NodeFacts) -> list[str]:
    own = [ip for ip in facts.ips if _version(ip) == family and family in facts.families]
    if host_ip in _UNSPECIFIED:
        return [*own, _LOOPBACK] if own and family == 4 else own
    return [host_ip] if host_ip in own or (own and family == 4 and _is_loopback(host_ip)) else []


def _is_loopback(address: str) -> bool:
    return _version(address) == 4 and ip_address(address).is_loopback


def _age(pod: Obj) -> tuple[str, str]:
    meta = pod["metadata"]
    return meta.get("creationTimestamp") or "", meta.get("uid") or ""


def _version(address: str) -> int:
    return 6 if ":" in address else 4
