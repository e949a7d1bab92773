"""Defaults of group networking.k8s.io."""

from __future__ import annotations

from sampan.api.defaults.fill import entries, fill, fill_blank, section
from sampan.api.objects import Obj


def network_policy(obj: Obj) -> None:
    spec = section(obj, "spec")
    fill(spec, "podSelector", {})
    if not spec.get("policyTypes"):
        spec["policyTypes"] = ["Ingress", "Egress"] if spec.get("egress") else ["Ingress"]
    for direction in ("ingress", "egress"):
        for rule in entries(spec, direction):
            for port in entries(rule, "ports"):
                fill_blank(port, "protocol", "TCP")


def ingress_class(obj: Obj) -> None:
    parameters = section(obj, "spec").get("parameters")
    if parameters is not None:
        fill_blank(parameters, "scope", "Cluster")
