"""Which Pods make room for one that the node itself needs. Pure.

Only for Pods that are critical and were given to this node: the scheduler preempts on its own before that.
Source: tasks/administer-cluster/guaranteed-scheduling-critical-addon-pods.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sampan.api import podspec
from sampan.api.objects import Obj
from sampan.kubelet.qos import is_critical

REASON = "Preempting"
MESSAGE = "Preempted in order to admit critical pod"
_CLASSES = ("BestEffort", "Burstable", "Guaranteed")


def victims(pod: Obj, others: Sequence[Obj], lacking: Mapping[str, int]) -> list[Obj]:
    """No more Pods than have to go, those that matter least; none if that would not be enough.

    `lacking`: what is missing of each resource, "pods" among them, in units of `podspec.amount`.
    """
    if not is_critical(pod):
        return []
    candidates = sorted((other for other in others if not is_critical(other)), key=_worth)
    chosen: list[Obj] = []
    for other in candidates:
        if _covers(chosen, lacking):
            break
        chosen.append(other)
    if not _covers(chosen, lacking):
        return []
    for other in list(reversed(chosen)):
        rest = [each for each in chosen if each is not other]
        if _covers(rest, lacking):
            chosen = rest
    return chosen


def _worth(pod: Obj) -> tuple[int, int]:
    return _CLASSES.index(podspec.qos_class(pod)), pod["spec"].get("priority") or 0


def _covers(pods: Sequence[Obj], lacking: Mapping[str, int]) -> bool:
    freed = {"pods": len(pods)}
    for pod in pods:
        for name, count in podspec.requests(pod).items():
            freed[name] = freed.get(name, 0) + count
    return all(freed.get(name, 0) >= count for name, count in lacking.items())
