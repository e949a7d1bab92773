"""What an update of a Service leaves open or leaves behind (pure).

Clients send what they know. What the server gave out before (addresses, node ports) stays if they are silent
about it; what only made sense for the former type goes with it, unless it was set anew. Both are what makes
a change between any two types possible in place, by PUT and by PATCH.
"""

from __future__ import annotations

from collections.abc import Callable

from sampan.api.objects import Obj

WITH_CLUSTER_IP = frozenset(["ClusterIP", "NodePort", "LoadBalancer"])
WITH_NODE_PORTS = frozenset(["NodePort", "LoadBalancer"])


def needs_cluster_ip(spec: Obj) -> bool:
    return spec.get("type") in WITH_CLUSTER_IP


def needs_node_ports(spec: Obj) -> bool:
    return spec.get("type") in WITH_NODE_PORTS


def is_load_balancer(spec: Obj) -> bool:
    return spec.get("type") == "LoadBalancer"


def needs_health_check(spec: Obj) -> bool:
    return is_load_balancer(spec) and spec.get("externalTrafficPolicy") == "Local"


def is_external(spec: Obj) -> bool:
    """Whether traffic from outside may be sent to it, so that externalTrafficPolicy has a meaning."""
    return needs_node_ports(spec) or (spec.get("type") == "ClusterIP" and bool(spec.get("externalIPs")))


def allocates_node_ports(spec: Obj) -> bool:
    if is_load_balancer(spec):
        return spec.get("allocateLoadBalancerNodePorts") is not False
    return spec.get("type") == "NodePort"


def carry_over(spec: Obj, old: Obj) -> None:
    """Makes of what a client sent what it means, in view of what is there."""
    _keep_given(spec, old)
    for needed, fields in _TYPE_DEPENDENT:
        if needed(old) and not needed(spec):
            for field in fields:
                if spec.get(field) == old.get(field):
                    spec.pop(field, None)
    if needs_node_ports(old) and not needs_node_ports(spec) and _node_ports(spec) == _node_ports(old):
        for port in spec.get("ports") or ():
            port.pop("nodePort", None)
    pair_cluster_ips(spec, old)


_TYPE_DEPENDENT: tuple[tuple[Callable[[Obj], bool], tuple[str, ...]], ...] = (
    (needs_cluster_ip, ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy")),
    (needs_health_check, ("healthCheckNodePort",)),
    (is_load_balancer, ("allocateLoadBalancerNodePorts", "loadBalancerClass")),
    (is_external, ("externalTrafficPolicy",)),
)
"""Fields that go when what needed them ends, if the client has not just changed them."""


def pair_cluster_ips(spec: Obj, old: Obj | None) -> None:
    """clusterIP and the first of clusterIPs say the same. Who writes only the one means both."""
    single, several = spec.get("clusterIP"), spec.get("clusterIPs")
    if old is None:
        if single and not several:
            spec["clusterIPs"] = [single]
    elif single != old.get("clusterIP") and (several or None) == (old.get("clusterIPs") or None):
        if single:
            spec["clusterIPs"] = [single]
        else:
            spec.pop("clusterIPs", None)


def _keep_given(spec: Obj, old: Obj) -> None:
    if needs_cluster_ip(old) and needs_cluster_ip(spec):
        if not spec.get("clusterIP") and old.get("clusterIP"):
            spec["clusterIP"] = old["clusterIP"]
        if not spec.get("clusterIPs") and old.get("clusterIPs"):
            spec["clusterIPs"] = list(old["clusterIPs"])
    if needs_node_ports(old) and needs_node_ports(spec):
        _keep_node_ports(spec, old)
    if needs_health_check(old) and needs_health_check(spec) and not spec.get("healthCheckNodePort"):
        spec["healthCheckNodePort"] = old.get("healthCheckNodePort")


def _keep_node_ports(spec: Obj, old: Obj) -> None:
    """Ports are known by their names: one that names no node port keeps the one it had."""
    used = set(_node_ports(spec))
    former = {port.get("name", ""): port.get("nodePort") for port in old.get("ports") or ()}
    for port in spec.get("ports") or ():
        kept = former.get(port.get("name", ""))
        if not port.get("nodePort") and kept and kept not in used:
            port["nodePort"] = kept
            del former[port.get("name", "")]


def _node_ports(spec: Obj) -> list[int]:
    return [port.get("nodePort") or 0 for port in spec.get("ports") or ()]
