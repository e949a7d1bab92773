"""Objects of policy tests, as the API server hands them out."""

from __future__ import annotations

from harness.lab import NODE
from sampan.api.objects import Obj


def namespace(name: str, **labels: str) -> Obj:
    labels = {"kubernetes.io/metadata.name": name, **labels}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


def pod(
    name: str,
    ns: str = "default",
    *ips: str,
    node: str = NODE,
    phase: str = "Running",
    ports: list[Obj] | None = None,
    host_network: bool = False,
    **labels: str,
) -> Obj:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": ns, "uid": f"{ns}-{name}", "labels": labels},
        "spec": {
            "nodeName": node,
            "containers": [{"name": "main", "ports": ports or []}],
            **({"hostNetwork": True} if host_network else {}),
        },
        "status": {"phase": phase, "podIPs": [{"ip": ip} for ip in ips]},
    }


def policy(name: str, ns: str = "default", selector: Obj | None = None, **spec: object) -> Obj:
    """`spec` as users write it; policyTypes as the server's defaults have them."""
    spec = {"podSelector": selector or {}, **spec}
    if "policyTypes" not in spec:
        spec["policyTypes"] = ["Ingress", "Egress"] if spec.get("egress") else ["Ingress"]
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": name, "namespace": ns},
        "spec": spec,
    }


def labelled(**labels: str) -> Obj:
    return {"matchLabels": labels}


def port(number: int | str | None = None, protocol: str = "TCP", end: int | None = None) -> Obj:
    found: Obj = {"protocol": protocol}
    if number is not None:
        found["port"] = number
    if end is not None:
        found["endPort"] = end
    return found
