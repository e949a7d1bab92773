"""What is said to the author of a Service beside the answer (pure): fields that mean nothing where they are,
and spellings of addresses that programs read differently.
"""

from __future__ import annotations

from collections.abc import Iterator

from sampan.api.addresswarnings import of_address, of_network
from sampan.api.objects import Obj

_HINTS = "service.kubernetes.io/topology-aware-hints"
_MODE = "service.kubernetes.io/topology-mode"


def warnings_of(service: Obj) -> Iterator[str]:
    spec = service.get("spec") or {}
    if _HINTS in (service["metadata"].get("annotations") or {}):
        yield f"annotation {_HINTS} is deprecated, please use {_MODE} instead"
    yield from _of_addresses(spec)
    kind = spec.get("type")
    if kind == "ClusterIP" and spec.get("clusterIP") == "None":
        if spec.get("loadBalancerIP"):
            yield "spec.loadBalancerIP is ignored for headless services"
        if spec.get("externalIPs"):
            yield "spec.externalIPs is ignored for headless services"
        if spec.get("sessionAffinity") not in (None, "", "None"):
            yield "spec.SessionAffinity is ignored for headless services"
    if kind == "ExternalName" and spec.get("externalIPs"):
        yield 'spec.externalIPs is ignored when spec.type is "ExternalName"'
    if kind != "ExternalName" and spec.get("externalName"):
        yield 'spec.externalName is ignored when spec.type is not "ExternalName"'
    if spec.get("trafficDistribution") == "PreferClose":
        yield 'spec.trafficDistribution: "PreferClose" is deprecated; use "PreferSameZone"'


def _of_addresses(spec: Obj) -> Iterator[str]:
    for field in ("clusterIPs", "externalIPs"):
        for index, address in enumerate(spec.get(field) or ()):
            if address and address != "None":
                yield from of_address(f"spec.{field}[{index}]", address)
    if spec.get("loadBalancerIP"):
        yield from of_address("spec.loadBalancerIP", spec["loadBalancerIP"])
    for index, network in enumerate(spec.get("loadBalancerSourceRanges") or ()):
        yield from of_network(f"spec.loadBalancerSourceRanges[{index}]", network or "")
