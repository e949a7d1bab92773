"""`status` of a ReplicaSet from its Pods. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sampan.api.clock import format_time, parse_time
from sampan.api.objects import Obj, condition_of, labels_of
from sampan.controllers import conditions


@dataclass(frozen=True, slots=True)
class Failure:
    """What the last create or delete of Pods came to; `reason` is FailedCreate or FailedDelete."""

    reason: str
    error: Exception


def status(
    replica_set: Obj, active: Iterable[Obj], terminating: int, failure: Failure | None, now_s: float
) -> tuple[Obj, float | None]:
    """The new status, and the seconds until the next ready Pod becomes available (None: no such Pod)."""
    template_labels = (replica_set["spec"]["template"].get("metadata") or {}).get("labels") or {}
    min_ready_s = replica_set["spec"].get("minReadySeconds") or 0
    total = labeled = ready = available = 0
    again_s: float | None = None
    for pod in active:
        total += 1
        labels = labels_of(pod)
        labeled += all(labels.get(key) == value for key, value in template_labels.items())
        wait_s = available_in(pod, min_ready_s, now_s)
        if wait_s is None:
            continue
        ready += 1
        if wait_s <= 0:
            available += 1
        else:
            again_s = wait_s if again_s is None else min(again_s, wait_s)
    result: Obj = {
        "replicas": total,
        "terminatingReplicas": terminating,
        "observedGeneration": replica_set["metadata"].get("generation", 0),
    }
    counts = {
        "fullyLabeledReplicas": labeled,
        "readyReplicas": ready,
        "availableReplicas": available,
    }
    result |= {field: count for field, count in counts.items() if count}
    listed = _with_failure((replica_set.get("status") or {}).get("conditions") or [], failure, now_s)
    if listed:
        result["conditions"] = listed
    return result, again_s


def available_in(pod: Obj, min_ready_s: float, now_s: float) -> float | None:
    """Seconds until the Pod has been ready for `min_ready_s`; None if it is not ready."""
    ready = condition_of(pod, "Ready")
    if ready is None or ready["status"] != "True":
        return None
    if not min_ready_s:
        return 0.0
    since = ready.get("lastTransitionTime")
    return max(parse_time(since) + min_ready_s - now_s, 0.0) if since else min_ready_s


def same(old: Obj | None, new: Obj) -> bool:
    """Whether writing `new` over `old` would change anything; a missing count is 0."""
    old = old or {}
    return all((old.get(field) or None) == (new.get(field) or None) for field in {*old, *new})


def _with_failure(existing: list[Obj], failure: Failure | None, now_s: float) -> list[Obj]:
    if failure is None:
        return conditions.without(existing, "ReplicaFailure")
    if conditions.find(existing, "ReplicaFailure") is not None:
        return existing
    condition = {
        "type": "ReplicaFailure",
        "status": "True",
        "reason": failure.reason,
        "message": str(failure.error),
        "lastTransitionTime": format_time(now_s),
    }
    return conditions.with_condition(existing, condition)
