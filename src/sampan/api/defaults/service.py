"""Defaults of Services and EndpointSlices. Addresses and node ports are the API server's to give."""

from __future__ import annotations

from sampan.api.defaults.fill import entries, fill, fill_blank, section
from sampan.api.objects import Obj

AFFINITY_TIMEOUT_S = 10800


def service(obj: Obj) -> None:
    spec = section(obj, "spec")
    fill_blank(spec, "type", "ClusterIP")
    fill_blank(spec, "sessionAffinity", "None")
    if spec["sessionAffinity"] == "None":
        spec.pop("sessionAffinityConfig", None)
    elif spec["sessionAffinity"] == "ClientIP":
        client_ip = section(section(spec, "sessionAffinityConfig"), "clientIP")
        fill(client_ip, "timeoutSeconds", AFFINITY_TIMEOUT_S)
    for port in entries(spec, "ports"):
        fill_blank(port, "protocol", "TCP")
        if not port.get("targetPort") and port.get("port") is not None:
            port["targetPort"] = port["port"]
    kind = spec["type"]
    if kind in ("NodePort", "LoadBalancer") or (kind == "ClusterIP" and spec.get("externalIPs")):
        fill_blank(spec, "externalTrafficPolicy", "Cluster")
    if kind != "ExternalName":
        fill_blank(spec, "internalTrafficPolicy", "Cluster")
    if kind == "LoadBalancer":
        fill(spec, "allocateLoadBalancerNodePorts", True)
    balancer_status(obj)


def balancer_status(obj: Obj) -> None:
    """An address is taken to be the Service's own, unless its giver says that it stands before it."""
    balancer = section(section(obj, "status"), "loadBalancer")
    for entry in entries(balancer, "ingress"):
        if entry.get("ip"):
            fill(entry, "ipMode", "VIP")


def endpoint_slice(obj: Obj) -> None:
    for port in entries(obj, "ports"):
        fill(port, "name", "")
        fill(port, "protocol", "TCP")
