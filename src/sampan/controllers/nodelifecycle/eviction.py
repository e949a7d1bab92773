"""When a Pod has to leave a node that has NoExecute taints. Pure.

Source: taint-and-toleration docs. A Pod that tolerates all of them stays; for each that it tolerates for
a time only, the time counts from when the taint was set; the shortest counts.
"""

from __future__ import annotations

from sampan.api.clock import parse_time
from sampan.api.objects import Obj
from sampan.api.podspec import toleration_matches


def leaves_at(pod: Obj, taints: list[Obj], now_s: float) -> float | None:
    """Seconds since the epoch, `now_s` or before for at once; None if it may stay."""
    earliest: float | None = None
    tolerations = pod["spec"].get("tolerations") or ()
    for taint in taints:
        if taint["effect"] != "NoExecute":
            continue
        matching = [toleration for toleration in tolerations if toleration_matches(toleration, taint)]
        if not matching:
            return now_s
        limits = [each["tolerationSeconds"] for each in matching if each.get("tolerationSeconds") is not None]
        if not limits:
            continue
        since = parse_time(taint["timeAdded"]) if taint.get("timeAdded") else now_s
        leaves = since + max(min(limits), 0)
        earliest = leaves if earliest is None else min(earliest, leaves)
    return earliest
