"""Which Pods to take away by force, and why. Pure.

Three kinds, after the Pod lifecycle docs ("garbage collection of Pods"): on a node that is no more; never
scheduled and on its way out; finished, beyond the number of finished Pods that is kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sampan.api.objects import Obj, is_deleting, name_of
from sampan.api.podspec import is_terminal

KEPT_MOST = 12500
"""Finished Pods that stay for the user to look at."""


@dataclass(frozen=True, slots=True)
class Doomed:
    """`message` says why to the user, in a DisruptionTarget condition; "" where nobody is disrupted."""

    pod: Obj
    message: str = ""


def orphaned(pods: Iterable[Obj], gone_nodes: set[str]) -> list[Doomed]:
    """`gone_nodes` are absent for certain and for long enough."""
    return [
        Doomed(pod, "PodGC: node no longer exists")
        for pod in pods
        if pod["spec"].get("nodeName") in gone_nodes
    ]


def never_scheduled(pods: Iterable[Obj]) -> list[Doomed]:
    return [Doomed(pod) for pod in pods if is_deleting(pod) and not pod["spec"].get("nodeName")]


def beyond_threshold(pods: Iterable[Obj], kept: int = KEPT_MOST) -> list[Doomed]:
    """The oldest of the finished Pods."""
    finished = [pod for pod in pods if is_terminal(pod)]
    surplus = len(finished) - kept
    return [Doomed(pod) for pod in by_age(finished)[:surplus]] if surplus > 0 else []


def by_age(pods: Sequence[Obj]) -> list[Obj]:
    return sorted(pods, key=lambda pod: (pod["metadata"].get("creationTimestamp") or "", name_of(pod)))
