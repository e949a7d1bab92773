"""Node affinity: which nodes a Pod's `nodeSelector` and `nodeAffinity` name. Pure."""

from __future__ import annotations

from sampan.api.nodeselector import is_empty, selects, term_matches
from sampan.api.objects import Obj, labels_of


def matches_required(spec: Obj, node: Obj) -> bool:
    """Whether the node has all of `nodeSelector` and one of the required terms, if there are any."""
    labels = labels_of(node)
    if not all(labels.get(key) == value for key, value in (spec.get("nodeSelector") or {}).items()):
        return False
    required = _node_affinity(spec).get("requiredDuringSchedulingIgnoredDuringExecution")
    return required is None or selects(required, node)


def preferred_weight(spec: Obj, node: Obj) -> int:
    """The weights of all preferred terms that the node matches, added up."""
    preferred = _node_affinity(spec).get("preferredDuringSchedulingIgnoredDuringExecution") or ()
    return sum(
        each["weight"]
        for each in preferred
        if not is_empty(each["preference"]) and term_matches(each["preference"], node)
    )


def _node_affinity(spec: Obj) -> Obj:
    return (spec.get("affinity") or {}).get("nodeAffinity") or {}
