"""A Pod as an endpoint of a Service. Pure.

Rules: EndpointSlice docs ("conditions"), KEP-1672 (terminating endpoints), Service docs ("headless services",
"port definitions").
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from sampan.api.objects import Obj, is_deleting, labels_of, name_of, namespace_of, uid_of
from sampan.api.podspec import is_ready, is_terminal, pod_ips, resolve_port

ZONE_LABEL = "topology.kubernetes.io/zone"

Port: TypeAlias = tuple[str, int, str, str]
"""(name, number, protocol, appProtocol or "")."""
Ports: TypeAlias = tuple[Port, ...]


@dataclass(frozen=True, slots=True)
class Group:
    """Endpoints of one address type that serve on the same ports; slices never mix groups."""

    address_type: str
    ports: Ports


def desired(service: Obj, pods: Iterable[Obj], zones: Mapping[str, str]) -> dict[Group, dict[str, Obj]]:
    """Endpoints by group and by `identity`; `pods` are those the Service selects, `zones` go by node name.

    Every address type of the Service has a group, be it empty.
    """
    spec = service["spec"]
    families = address_types(service)
    found: dict[Group, dict[str, Obj]] = {}
    for pod in pods:
        if is_terminal(pod):
            continue
        addresses = by_family(pod_ips(pod))
        if not addresses:
            continue
        ports = ports_of(spec.get("ports") or (), pod)
        if spec.get("ports") and not ports:
            continue  # none of the Service's named ports is known to this Pod
        for family in families:
            if family in addresses:
                endpoint = endpoint_of(service, pod, addresses[family], zones)
                found.setdefault(Group(family, ports), {})[identity(endpoint)] = endpoint
    for family in families:
        if not any(group.address_type == family for group in found):
            found[Group(family, ())] = {}
    return found


def address_types(service: Obj) -> list[str]:
    """IPv4, IPv6 or both, as the Service's `ipFamilies` say; IPv4 where they do not."""
    return list(service["spec"].get("ipFamilies") or ["IPv4"])


def by_family(addresses: Iterable[str]) -> dict[str, str]:
    """The first address of each family."""
    found: dict[str, str] = {}
    for address in addresses:
        found.setdefault("IPv6" if ":" in address else "IPv4", address)
    return found


def ports_of(service_ports: Iterable[Obj], pod: Obj) -> Ports:
    """The ports of this Pod that the Service's lead to; a name the Pod does not declare leads nowhere."""
    ports: list[Port] = []
    for port in service_ports:
        protocol = port.get("protocol") or "TCP"
        number = resolve_port(pod, port.get("targetPort") or port["port"], protocol)
        if number is not None:
            ports.append((port.get("name") or "", number, protocol, port.get("appProtocol") or ""))
    return tuple(ports)


def endpoint_of(service: Obj, pod: Obj, address: str, zones: Mapping[str, str]) -> Obj:
    """`serving` is the Pod's readiness; `ready` is that too, but never of a Pod on its way out.

    `publishNotReadyAddresses` makes every Pod ready, also one on its way out.
    """
    terminating = is_deleting(pod)
    serving = is_ready(pod)
    publish = bool(service["spec"].get("publishNotReadyAddresses"))
    endpoint: Obj = {
        "addresses": [address],
        "conditions": {
            "ready": publish or (serving and not terminating),
            "serving": serving,
            "terminating": terminating,
        },
        "targetRef": {
            "kind": "Pod",
            "namespace": namespace_of(pod),
            "name": name_of(pod),
            "uid": uid_of(pod),
        },
    }
    spec = pod["spec"]
    if node := spec.get("nodeName"):
        endpoint["nodeName"] = node
        if zone := zones.get(node):
            endpoint["zone"] = zone
    if spec.get("hostname") and spec.get("subdomain") == name_of(service):
        endpoint["hostname"] = spec["hostname"]
    return endpoint


def identity(endpoint: Obj) -> str:
    """What makes two endpoints the same one: the Pod's uid and its address."""
    return f"{(endpoint.get('targetRef') or {}).get('uid', '')}/{endpoint['addresses'][0]}"


def selects(service: Obj, pod: Obj) -> bool:
    selector = service["spec"].get("selector")
    if not selector:
        return False
    labels = labels_of(pod)
    return all(labels.get(key) == value for key, value in selector.items())
