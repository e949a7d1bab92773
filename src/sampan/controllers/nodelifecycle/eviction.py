"""When a Pod has to leave a node that has NoExecute taints. Pure.

Source: taint-and-toleration docs. A Pod that tolerates all of them stays; for each that it tolerates for
a time only, the time counts from when the two met: the taint was set, or the Pod came to the node that had
it, whichever was later. The shortest counts.
"""

from __future__ import annotations

from sampan.api.clock import parse_time
from sampan.api.objects import Obj, condition_of
from sampan.api.podspec import toleration_matches


def leaves_at(pod: Obj, taints: list[Obj], met_s: float) -> float | None:
    """Seconds since the epoch; None if it may stay.

    `met_s`: when the Pod was first seen on the tainted node, which counts for taints that bear no time (only
    those that the cluster sets itself do).
    """
    earliest: float | None = None
    tolerations = pod["spec"].get("tolerations") or ()
    for taint in taints:
        if taint["effect"] != "NoExecute":
            continue
        matching = [toleration for toleration in tolerations if toleration_matches(toleration, taint)]
        if not matching:
            return met_s
        limits = [each["tolerationSeconds"] for each in matching if each.get("tolerationSeconds") is not None]
        if not limits:
            continue
        since_s = max(parse_time(taint["timeAdded"]), _bound_s(pod)) if taint.get("timeAdded") else met_s
        leaves = since_s + max(min(limits), 0)
        earliest = leaves if earliest is None else min(earliest, leaves)
    return earliest


def _bound_s(pod: Obj) -> float:
    scheduled = condition_of(pod, "PodScheduled") or {}
    bound = scheduled.get("lastTransitionTime") if scheduled.get("status") == "True" else None
    return parse_time(bound) if bound else 0.0
