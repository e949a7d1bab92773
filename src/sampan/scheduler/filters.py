"""Which nodes a Pod may run on, and for those it may not, why. Pure.

`FILTERS` is upstream's order; the first filter that objects to a node ends the look at it. Reasons are
upstream's words, for users and scripts match on them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from sampan.scheduler.affinity import matches_required
from sampan.scheduler.facts import NodeInfo, PodFacts, tolerates
from sampan.scheduler.neighbours import Neighbours, Spread, neighbours, spreads
from sampan.scheduler.volumes import NONE, VolumesAsked, refusals

UNSCHEDULABLE_TAINT = {"key": "node.kubernetes.io/unschedulable", "value": "", "effect": "NoSchedule"}


@dataclass(frozen=True, slots=True)
class Asked:
    """A Pod to place, with what is the same for every node."""

    pod: PodFacts
    neighbours: Neighbours
    spreads: tuple[Spread, ...]
    volumes: VolumesAsked = NONE
    crowded: bool = False
    """Another Pod uses a claim that only one may use."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a node is none for the Pod; `final` if taking other Pods away from it would not help."""

    reasons: tuple[str, ...]
    final: bool
    filter: str = ""
    victims: bool = False
    """Pods of lower priority run there, which would have to go if Pods were preempted."""


Filter: TypeAlias = Callable[[Asked, NodeInfo], Refusal | None]


def asked(
    pod: PodFacts,
    nodes: Sequence[NodeInfo],
    namespace_labels: Mapping[str, Mapping[str, str]],
    volumes: VolumesAsked = NONE,
) -> Asked:
    crowded = bool(volumes.alone) and any(
        not volumes.alone.isdisjoint(other.claims)
        for info in nodes
        for other in info.pods.values()
        if other.uid != pod.uid
    )
    return Asked(pod, neighbours(pod, nodes, namespace_labels), spreads(pod, nodes), volumes, crowded)


def check(question: Asked, info: NodeInfo) -> Refusal | None:
    """None if the Pod may run on the node."""
    for name, filter in FILTERS.items():
        refusal = filter(question, info)
        if refusal is not None:
            return Refusal(refusal.reasons, refusal.final, name)
    return None


def unschedulable(question: Asked, info: NodeInfo) -> Refusal | None:
    if info.unschedulable and not tolerates(question.pod.spec, UNSCHEDULABLE_TAINT):
        return Refusal(("node(s) were unschedulable",), final=True)
    return None


def node_name(question: Asked, info: NodeInfo) -> Refusal | None:
    wanted = question.pod.spec.get("nodeName")
    if wanted and wanted != info.name:
        return Refusal(("node(s) didn't match the requested node name",), final=True)
    return None


def taints(question: Asked, info: NodeInfo) -> Refusal | None:
    for taint in info.taints:
        if taint["effect"] in ("NoSchedule", "NoExecute") and not tolerates(question.pod.spec, taint):
            # Which taint it is, is not said to the Pod's owner, who may not be meant to know (since 1.35).
            return Refusal(("node(s) had untolerated taint(s)",), final=True)
    return None


def node_affinity(question: Asked, info: NodeInfo) -> Refusal | None:
    if not matches_required(question.pod.spec, info.node):
        return Refusal(("node(s) didn't match Pod's node affinity/selector",), final=True)
    return None


def host_ports(question: Asked, info: NodeInfo) -> Refusal | None:
    wanted = question.pod.host_ports
    if wanted and any(
        mine.clashes(theirs) for mine in wanted for other in info.pods.values() for theirs in other.host_ports
    ):
        return Refusal(("node(s) didn't have free ports for the requested pod ports",), final=False)
    return None


def resources_fit(question: Asked, info: NodeInfo) -> Refusal | None:
    reasons = []
    final = False
    if len(info.pods) + 1 > info.allocatable.get("pods", 110):
        reasons.append("Too many pods")
    for name, wanted in question.pod.requests.items():
        allocatable = info.allocatable.get(name, 0)
        if wanted and wanted > allocatable - info.requested.get(name, 0):
            reasons.append(f"Insufficient {name}")
            final = final or wanted > allocatable
    return Refusal(tuple(reasons), final) if reasons else None


def volume_restrictions(question: Asked, info: NodeInfo) -> Refusal | None:
    if question.crowded:
        reason = (
            "node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode"
        )
        return Refusal((reason,), final=False)
    return None


def volume_binding(question: Asked, info: NodeInfo) -> Refusal | None:
    if question.volumes is not NONE and (reasons := refusals(question.volumes, info.node)):
        return Refusal(reasons, final=True)
    return None


def dynamic_resources(question: Asked, info: NodeInfo) -> Refusal | None:
    """There is no driver whose devices could be allocated, so the Pod waits and does not run without."""
    if question.pod.spec.get("resourceClaims"):
        return Refusal(("cannot allocate all claims",), final=True)
    return None


def topology_spread(question: Asked, info: NodeInfo) -> Refusal | None:
    reason = "node(s) didn't match pod topology spread constraints"
    for spread in question.spreads:
        domain = info.labels.get(spread.topology_key)
        if domain is None:
            return Refusal((f"{reason} (missing required label)",), final=True)
        if spread.counts.get(domain, 0) + spread.matches_self - spread.least > spread.max_skew:
            return Refusal((reason,), final=False)
    return None


def pod_affinity(question: Asked, info: NodeInfo) -> Refusal | None:
    known = question.neighbours
    if known.is_empty:
        return None
    labels = info.labels
    for number, term in enumerate(known.wanted):
        value = labels.get(term.topology_key)
        if value is None or not (known.alone or known.near[number][(term.topology_key, value)]):
            return Refusal(("node(s) didn't match pod affinity rules",), final=True)
    here = labels.items()
    if known.crowded and not known.crowded.isdisjoint(here):
        return Refusal(("node(s) didn't match pod anti-affinity rules",), final=False)
    if known.forbidden and not known.forbidden.isdisjoint(here):
        return Refusal(("node(s) didn't satisfy existing pods anti-affinity rules",), final=False)
    return None


FILTERS: Mapping[str, Filter] = {
    "NodeUnschedulable": unschedulable,
    "NodeName": node_name,
    "TaintToleration": taints,
    "NodeAffinity": node_affinity,
    "NodePorts": host_ports,
    "NodeResourcesFit": resources_fit,
    "VolumeRestrictions": volume_restrictions,
    "VolumeBinding": volume_binding,
    "DynamicResources": dynamic_resources,
    "PodTopologySpread": topology_spread,
    "InterPodAffinity": pod_affinity,
}
