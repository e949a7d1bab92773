"""Which server a `proxy` subresource means, by the objects as they are now.

Only addresses of Pods are ever dialled, and none that leads back to the machine itself: who may create a
Service or its EndpointSlices must not reach what only the API server can (CVE-2020-8555, CVE-2020-8562).
"""

from __future__ import annotations

import ipaddress
import random
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sampan.api import errors
from sampan.api.objects import Obj

_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Target:
    scheme: str
    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Asked:
    """`https:web:8443` taken apart; the port may be a number, a name, or missing."""

    scheme: str
    name: str
    port: str


def asked(plural: str, text: str) -> Asked:
    """Raises 400 for what is not `[scheme:]name[:port]`; a scheme needs the second colon."""
    parts = text.split(":")
    scheme, name, port = ("", *parts, "")[:3] if len(parts) < 3 else parts[:3]
    if len(parts) > 3 or not name or scheme not in ("", "http", "https"):
        raise errors.bad_request(f'invalid {plural.removesuffix("s")} request "{text}"')
    return Asked(scheme or "http", name, port)


def of_pod(pod: Obj, wanted: Asked) -> Target:
    """The Pod's own server: the port asked for, else the first that the Pod declares."""
    address = str((pod.get("status") or {}).get("podIP") or "")
    _refuse_special(address)
    declared = (port for container in pod["spec"]["containers"] for port in container.get("ports") or ())
    if not wanted.port:
        first = next((port["containerPort"] for port in declared), _PORTS[wanted.scheme])
        return Target(wanted.scheme, address, int(first))
    if not wanted.port.isdigit() or not 0 < int(wanted.port) < 65536:
        raise errors.bad_request(f'invalid pod request "{wanted.name}:{wanted.port}"')
    return Target(wanted.scheme, address, int(wanted.port))


def of_service(service: Obj, slices: Iterable[Obj], pods: dict[str, Obj], wanted: Asked) -> Target:
    """One of the Service's ready Pods, by chance. `pods`: those of the namespace, by name."""
    name, port_name = service["metadata"]["name"], wanted.port
    if port_name.isdigit():
        numbered = [port for port in service["spec"].get("ports") or () if port["port"] == int(port_name)]
        if not numbered:
            raise errors.unavailable(f'no service port {port_name} found for service "{name}"')
        port_name = numbered[0].get("name", "")
    found = [
        Target(wanted.scheme, address, int(port["port"]))
        for part in slices
        for port in part.get("ports") or ()
        if port.get("name", "") == port_name and port.get("port")
        for endpoint in part.get("endpoints") or ()
        if (address := _pod_address(endpoint, pods))
    ]
    if not found:
        raise errors.unavailable(f'no endpoints available for service "{name}"')
    return random.choice(found)


def _pod_address(endpoint: Obj, pods: dict[str, Obj]) -> str:
    """The endpoint's address if it is ready and really that of a Pod of this namespace, else ""."""
    if (endpoint.get("conditions") or {}).get("ready") is False or not endpoint.get("addresses"):
        return ""
    reference = endpoint.get("targetRef") or {}
    pod = pods.get(reference.get("name", "")) if reference.get("kind") == "Pod" else None
    address = str(endpoint["addresses"][0])
    if pod is None or address not in _addresses(pod.get("status") or {}) or not is_proxyable(address):
        return ""
    return address


def _addresses(status: dict[str, Any]) -> list[str]:
    return [status.get("podIP", ""), *(entry.get("ip", "") for entry in status.get("podIPs") or ())]


def is_proxyable(address: str) -> bool:
    """Whether it is an ordinary address of one host."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None:
        ip = ip.ipv4_mapped
    special = ip.is_loopback or ip.is_link_local or ip.is_multicast or ip.is_unspecified
    return not special and str(ip) != "255.255.255.255"


def _refuse_special(address: str) -> None:
    if not is_proxyable(address):
        raise errors.bad_request("address not allowed")
