"""Rules between Pods: inter-pod affinity and anti-affinity, and topology spread. Pure.

Source: concepts/scheduling-eviction/assign-pod-node ("inter-pod affinity") and topology-spread-constraints.
A topology domain is the set of nodes that have one value of a label.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from sampan.api.objects import Obj
from sampan.api.selectors import Selector, label_selector_from
from sampan.scheduler.affinity import matches_required
from sampan.scheduler.facts import NodeInfo, PodFacts, tolerates

REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"


@dataclass(frozen=True, slots=True)
class Term:
    """One `PodAffinityTerm` of a Pod in `namespace`."""

    topology_key: str
    selector: Selector
    namespaces: frozenset[str] | None
    """None: all of them."""

    def matches(self, pod: PodFacts) -> bool:
        if self.namespaces is not None and pod.namespace not in self.namespaces:
            return False
        return self.selector.matches(pod.labels)


def terms(pod: PodFacts, kind: str, namespace_labels: Mapping[str, Mapping[str, str]]) -> list[Term]:
    """The required terms of `kind`, podAffinity or podAntiAffinity."""
    listed = (pod.affinity.get(kind) or {}).get(REQUIRED) or ()
    return [term_of(pod, term, namespace_labels) for term in listed]


def weighted_terms(
    pod: PodFacts, kind: str, namespace_labels: Mapping[str, Mapping[str, str]]
) -> list[tuple[int, Term]]:
    listed = (pod.affinity.get(kind) or {}).get(PREFERRED) or ()
    return [(each["weight"], term_of(pod, each["podAffinityTerm"], namespace_labels)) for each in listed]


def term_of(pod: PodFacts, term: Obj, namespace_labels: Mapping[str, Mapping[str, str]]) -> Term:
    """Without namespaces and namespaceSelector a term speaks of the Pod's own namespace."""
    selector = label_selector_from(_with_keys(pod, term))
    namespaces = frozenset(term.get("namespaces") or ())
    if (chosen := term.get("namespaceSelector")) is not None:
        wanted = label_selector_from(chosen)
        if wanted.is_everything:
            return Term(term["topologyKey"], selector, None)
        namespaces |= {name for name, labels in namespace_labels.items() if wanted.matches(labels)}
    elif not namespaces:
        namespaces = frozenset({pod.namespace})
    return Term(term["topologyKey"], selector, namespaces)


def _with_keys(pod: PodFacts, term: Obj) -> Obj | None:
    """The selector with `matchLabelKeys` and `mismatchLabelKeys` put in, for servers that did not."""
    selector: Obj | None = term.get("labelSelector")
    keys = [(key, "In") for key in term.get("matchLabelKeys") or ()]
    keys += [(key, "NotIn") for key in term.get("mismatchLabelKeys") or ()]
    if selector is None or not keys:
        return selector
    more = [
        {"key": key, "operator": operator, "values": [pod.labels[key]]}
        for key, operator in keys
        if key in pod.labels
    ]
    return {**selector, "matchExpressions": [*(selector.get("matchExpressions") or ()), *more]}


@dataclass(frozen=True, slots=True)
class Neighbours:
    """What the Pods there are mean for one Pod to place, counted once for all nodes.

    Keys of the counters are (topology key, value).
    """

    wanted: tuple[Term, ...] = ()
    avoided: tuple[Term, ...] = ()
    near: Mapping[int, Counter[tuple[str, str]]] = field(default_factory=dict)
    """By number of the wanted term: Pods that match it, by domain."""
    alone: bool = False
    """No Pod matches the wanted terms, but this one does itself: the first of a group goes anywhere."""
    crowded: frozenset[tuple[str, str]] = frozenset()
    """Domains with a Pod that this one avoids."""
    forbidden: frozenset[tuple[str, str]] = frozenset()
    """Domains with a Pod that avoids this one."""

    @property
    def is_empty(self) -> bool:
        return not self.wanted and not self.crowded and not self.forbidden


def neighbours(
    pod: PodFacts, nodes: Iterable[NodeInfo], namespace_labels: Mapping[str, Mapping[str, str]]
) -> Neighbours:
    """What the Pods that are there mean to this one: near whom it wants to be, and who keeps it away."""
    wanted = tuple(terms(pod, "podAffinity", namespace_labels))
    avoided = tuple(terms(pod, "podAntiAffinity", namespace_labels))
    near: dict[int, Counter[tuple[str, str]]] = {number: Counter() for number in range(len(wanted))}
    crowded: set[tuple[str, str]] = set()
    forbidden: set[tuple[str, str]] = set()
    for info in nodes:
        labels = info.labels
        for other in info.pods.values():
            # Upstream's rule: a Pod is near only where it matches all terms.
            if wanted and all(term.matches(other) for term in wanted):
                for number, term in enumerate(wanted):
                    if (value := labels.get(term.topology_key)) is not None:
                        near[number][(term.topology_key, value)] += 1
            for term in avoided:
                if (value := labels.get(term.topology_key)) is not None and term.matches(other):
                    crowded.add((term.topology_key, value))
            if other.affinity.get("podAntiAffinity"):
                for term in terms(other, "podAntiAffinity", namespace_labels):
                    if (value := labels.get(term.topology_key)) is not None and term.matches(pod):
                        forbidden.add((term.topology_key, value))
    alone = bool(wanted) and not any(near.values()) and all(term.matches(pod) for term in wanted)
    return Neighbours(wanted, avoided, near, alone, frozenset(crowded), frozenset(forbidden))


@dataclass(frozen=True, slots=True)
class Spread:
    """One `DoNotSchedule` constraint and the matching Pods of each domain that counts."""

    topology_key: str
    max_skew: int
    counts: Mapping[str, int]
    min_domains: int
    matches_self: bool

    @property
    def least(self) -> int:
        """Fewest matching Pods of a domain; 0 while there are fewer domains than asked for."""
        if len(self.counts) < self.min_domains:
            return 0
        return min(self.counts.values(), default=0)


def spreads(
    pod: PodFacts, nodes: Sequence[NodeInfo], unsatisfiable: str = "DoNotSchedule"
) -> tuple[Spread, ...]:
    """The Pod's topologySpreadConstraints of one `whenUnsatisfiable`, with the counts of each domain."""
    listed = pod.spec.get("topologySpreadConstraints") or ()
    found = []
    constraints = [each for each in listed if each.get("whenUnsatisfiable") == unsatisfiable]
    keys = [each["topologyKey"] for each in constraints]
    for constraint in constraints:
        selector = label_selector_from(_with_keys(pod, constraint))
        counts: dict[str, int] = {}
        for info in nodes:
            if not all(key in info.labels for key in keys) or not _counts(constraint, pod, info):
                continue
            # Who is on its way out will not be there when this Pod is.
            here = sum(
                other.namespace == pod.namespace and not other.terminating and selector.matches(other.labels)
                for other in info.pods.values()
            )
            domain = info.labels[constraint["topologyKey"]]
            counts[domain] = counts.get(domain, 0) + here
        found.append(
            Spread(
                constraint["topologyKey"],
                constraint["maxSkew"],
                counts,
                constraint.get("minDomains") or 1,
                selector.matches(pod.labels),
            )
        )
    return tuple(found)


def _counts(constraint: Obj, pod: PodFacts, info: NodeInfo) -> bool:
    """Whether the node is one of those spread over, by `nodeAffinityPolicy` and `nodeTaintsPolicy`."""
    if constraint.get("nodeAffinityPolicy", "Honor") == "Honor" and not matches_required(pod.spec, info.node):
        return False
    if constraint.get("nodeTaintsPolicy", "Ignore") == "Honor":
        return all(
            tolerates(pod.spec, taint)
            for taint in info.taints
            if taint["effect"] in ("NoSchedule", "NoExecute")
        )
    return True
