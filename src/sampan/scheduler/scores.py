"""Which of the nodes that fit is best. Pure: 0..100 from each score, weighed and added.

The scores and weights are upstream's defaults, where a node has the facts for them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

from sampan.scheduler.affinity import preferred_weight
from sampan.scheduler.facts import NodeInfo, PodFacts, tolerates
from sampan.scheduler.neighbours import spreads, weighted_terms

BEST = 100

Labels: TypeAlias = Mapping[str, Mapping[str, str]]
Score: TypeAlias = Callable[[PodFacts, Sequence[NodeInfo], Labels], list[float]]


def best(pod: PodFacts, nodes: Sequence[NodeInfo], namespace_labels: Labels) -> NodeInfo:
    """The best of one node or more; of equals the one with the fewest Pods, then the first by name."""
    if len(nodes) == 1:
        return nodes[0]
    totals = [0.0] * len(nodes)
    for score, weight in SCORES.items():
        for number, points in enumerate(score(pod, nodes, namespace_labels)):
            totals[number] += weight * points
    ranked = sorted(
        zip(totals, nodes, strict=True), key=lambda each: (-each[0], len(each[1].pods), each[1].name)
    )
    return ranked[0][1]


def least_allocated(pod: PodFacts, nodes: Sequence[NodeInfo], _: Labels) -> list[float]:
    """The share of CPU and memory that is left, on average."""
    return [
        BEST * sum(max(1 - used, 0) for used in shares) / len(shares) if (shares := _shares(pod, info)) else 0
        for info in nodes
    ]


def balanced(pod: PodFacts, nodes: Sequence[NodeInfo], _: Labels) -> list[float]:
    """Best where CPU and memory are used alike."""
    points = []
    for info in nodes:
        shares = [min(used, 1.0) for used in _shares(pod, info)]
        points.append(BEST * (1 - abs(shares[0] - shares[-1]) / 2) if shares else 0)
    return points


def _shares(pod: PodFacts, info: NodeInfo) -> list[float]:
    """The used shares of CPU and memory with the Pod on the node."""
    pairs = zip(("cpu", "memory"), info.scored, pod.scored, strict=True)
    return [
        (used + more) / allocatable
        for name, used, more in pairs
        if (allocatable := info.allocatable.get(name, 0))
    ]


def tolerated(pod: PodFacts, nodes: Sequence[NodeInfo], _: Labels) -> list[float]:
    """Fewer PreferNoSchedule taints that the Pod does not tolerate are better."""
    counts = [
        sum(taint["effect"] == "PreferNoSchedule" and not tolerates(pod.spec, taint) for taint in info.taints)
        for info in nodes
    ]
    return _reverse(counts)


def preferred_nodes(pod: PodFacts, nodes: Sequence[NodeInfo], _: Labels) -> list[float]:
    return _scale([preferred_weight(pod.spec, info.node) for info in nodes])


def preferred_neighbours(pod: PodFacts, nodes: Sequence[NodeInfo], labels: Labels) -> list[float]:
    """Pods that the Pod would rather be near to, less those it would rather not."""
    weighed = [
        *weighted_terms(pod, "podAffinity", labels),
        *((-weight, term) for weight, term in weighted_terms(pod, "podAntiAffinity", labels)),
    ]
    points = [0.0] * len(nodes)
    for weight, term in weighed:
        by_domain: dict[str, int] = {}
        for info in nodes:
            if (domain := info.labels.get(term.topology_key)) is not None:
                here = sum(term.matches(other) for other in info.pods.values())
                by_domain[domain] = by_domain.get(domain, 0) + here
        for number, info in enumerate(nodes):
            points[number] += weight * by_domain.get(info.labels.get(term.topology_key, ""), 0)
    low = min(points)
    return _scale([each - low for each in points])


def spread(pod: PodFacts, nodes: Sequence[NodeInfo], _: Labels) -> list[float]:
    """Few Pods of the same constraint in a domain; without constraints, few of the same owner on a node."""
    soft = spreads(pod, nodes, "ScheduleAnyway")
    if soft:
        counts = [
            sum(each.counts.get(info.labels.get(each.topology_key, ""), 0) for each in soft) for info in nodes
        ]
    elif pod.owner:
        counts = [sum(other.owner == pod.owner for other in info.pods.values()) for info in nodes]
    else:
        return [0.0] * len(nodes)
    return _reverse(counts)


def _scale(points: Sequence[float]) -> list[float]:
    most = max(points)
    return [BEST * each / most for each in points] if most > 0 else [0.0] * len(points)


def _reverse(counts: Sequence[float]) -> list[float]:
    most = max(counts)
    return [BEST * (most - count) / most for count in counts] if most > 0 else [float(BEST)] * len(counts)


SCORES: Mapping[Score, int] = {
    least_allocated: 1,
    balanced: 1,
    tolerated: 3,
    preferred_nodes: 2,
    preferred_neighbours: 2,
    spread: 2,
}
