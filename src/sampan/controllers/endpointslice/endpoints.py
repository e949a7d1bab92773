"""A Pod as an endpoint of a Service. Pure.

Rules: EndpointSlice docs ("conditions"), KEP-1672 (terminating endpoints), KEP-4444 and KEP-3015 (traffic
distribution), Service docs ("headless services", "port definitions").
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, TypeAlias

from sampan.api.objects import Obj, annotations_of, is_deleting, name_of, namespace_of, uid_of
from sampan.api.podspec import is_ready, is_terminal, pod_ips, resolve_port

ZONE_LABEL = "topology.kubernetes.io/zone"
TOPOLOGY_ANNOTATIONS = (
    "service.kubernetes.io/topology-aware-hints",
    "service.kubernetes.io/topology-mode",
)
"""The older one wins."""
SAME_ZONE = ("PreferClose", "PreferSameZone", "PreferSameNode")
SAME_NODE = "PreferSameNode"

Zones: TypeAlias = Mapping[str, str]
"""The zone of every node there is, by name; "" for a node that says none."""
Port: TypeAlias = tuple[str, int, str, str]
"""(name, number, protocol, appProtocol or "")."""
Ports: TypeAlias = tuple[Port, ...]
"""In the order of their names, whatever order the Service has them in."""


class Group(NamedTuple):
    """Endpoints of one address type that serve on the same ports; slices never mix groups."""

    address_type: str
    ports: Ports


class Maker:
    """Makes endpoints for one Service; keeps what is the same for all of its Pods."""

    def __init__(self, service: Obj, zones: Zones) -> None:
        self.service = service
        self.families = address_types(service)
        self._zones = zones
        self._publish = bool(service["spec"].get("publishNotReadyAddresses"))
        self._ports: Sequence[Obj] = service["spec"].get("ports") or ()
        named = any(isinstance(port.get("targetPort"), str) for port in self._ports)
        self._same_ports = None if named else ports_of(self._ports, {})

    def endpoints(self, pod: Obj) -> Iterator[tuple[Group, Obj]]:
        """The Pod's endpoint in each family that it has an address of."""
        if is_terminal(pod) or not (self._publish or self._has_node(pod)):
            return
        addresses = by_family(pod_ips(pod))
        ports = self._same_ports
        for family in self.families:
            if family in addresses:
                if ports is None:
                    ports = ports_of(self._ports, pod)
                yield Group(family, ports), endpoint_of(self.service, pod, addresses[family], self._zones)

    def _has_node(self, pod: Obj) -> bool:
        """Whose node has gone from the API cannot be reached, whatever its last status said."""
        node = pod["spec"].get("nodeName")
        return not node or node in self._zones


def desired(service: Obj, pods: Iterable[Obj], zones: Zones) -> dict[Group, dict[str, Obj]]:
    """Endpoints by group and by `identity`; `pods` are those the Service selects.

    Every address type of the Service has a group, be it empty.
    """
    maker = Maker(service, zones)
    found: dict[Group, dict[str, Obj]] = {}
    for pod in pods:
        for group, endpoint in maker.endpoints(pod):
            found.setdefault(group, {})[identity(endpoint)] = endpoint
    return with_placeholders(found, maker.families)


def with_placeholders(
    found: dict[Group, dict[str, Obj]], families: Iterable[str]
) -> dict[Group, dict[str, Obj]]:
    for family in families:
        if not any(group.address_type == family for group in found):
            found[Group(family, ())] = {}
    return found


def address_types(service: Obj) -> list[str]:
    """IPv4, IPv6 or both, as the Service's `ipFamilies` say; else by what address it has."""
    spec = service["spec"]
    if spec.get("ipFamilies"):
        return list(spec["ipFamilies"])
    if spec.get("clusterIP") in (None, "", "None"):
        return ["IPv4", "IPv6"]
    return ["IPv6" if ":" in spec["clusterIP"] else "IPv4"]


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
    return tuple(sorted(ports))


def endpoint_of(service: Obj, pod: Obj, address: str, zones: Zones) -> Obj:
    """`serving` is the Pod's readiness; `ready` is that too, but never of a Pod on its way out.

    `publishNotReadyAddresses` makes every Pod ready, also one on its way out.
    """
    spec, wanted = pod["spec"], service["spec"]
    terminating = is_deleting(pod)
    serving = is_ready(pod)
    ready = bool(wanted.get("publishNotReadyAddresses")) or (serving and not terminating)
    endpoint: Obj = {
        "addresses": [address],
        "conditions": {"ready": ready, "serving": serving, "terminating": terminating},
        "targetRef": {
            "kind": "Pod",
            "namespace": namespace_of(pod),
            "name": name_of(pod),
            "uid": uid_of(pod),
        },
    }
    node = spec.get("nodeName") or ""
    zone = zones.get(node) if node else ""
    if node:
        endpoint["nodeName"] = node
    if zone:
        endpoint["zone"] = zone
    if spec.get("hostname") and spec.get("subdomain") == name_of(service):
        endpoint["hostname"] = spec["hostname"]
    if ready and (hints := _hints(service, node, zone)):
        endpoint["hints"] = hints
    return endpoint


def _hints(service: Obj, node: str, zone: str | None) -> Obj:
    """For whom the endpoint is by the Service's `trafficDistribution`; the node's are the zone's, too."""
    distribution = service["spec"].get("trafficDistribution")
    if distribution not in SAME_ZONE or is_auto(service):
        return {}
    hints: Obj = {"forZones": [{"name": zone}]} if zone else {}
    if node and distribution == SAME_NODE:
        hints["forNodes"] = [{"name": node}]
    return hints


def is_auto(service: Obj) -> bool:
    """Whether hints are given by the zones' CPUs instead (`hints`)."""
    annotations = annotations_of(service)
    said = next((annotations[key] for key in TOPOLOGY_ANNOTATIONS if key in annotations), "")
    return said in ("Auto", "auto")


def identity(endpoint: Obj) -> str:
    """What makes two endpoints the same one: the Pod's uid and its address."""
    return f"{(endpoint.get('targetRef') or {}).get('uid', '')}/{endpoint['addresses'][0]}"
