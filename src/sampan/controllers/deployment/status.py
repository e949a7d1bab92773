"""`status` of a Deployment from its ReplicaSets: counts, and conditions for `kubectl rollout`. Pure.

Reasons and messages are upstream's (Deployment docs, "deployment status"); clients match on them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sampan.api.clock import format_time, parse_time
from sampan.api.objects import Obj, name_of
from sampan.controllers import conditions
from sampan.controllers.deployment.scale import Strategy

AVAILABLE = "Available"
PROGRESSING = "Progressing"
REPLICA_FAILURE = "ReplicaFailure"

COMPLETE = "NewReplicaSetAvailable"
TIMED_OUT = "ProgressDeadlineExceeded"
PAUSED = "DeploymentPaused"
RESUMED = "DeploymentResumed"
NO_DEADLINE = 2**31 - 1


@dataclass(frozen=True, slots=True)
class View:
    """A Deployment and its ReplicaSets as a status needs them; `sizes` are the Pods asked for by uid."""

    deployment: Obj
    new: Obj | None
    every: Sequence[Obj]
    strategy: Strategy
    sizes: Mapping[str, int]
    now_s: float

    @property
    def subject(self) -> str:
        """How messages call what progresses."""
        if self.new is not None:
            return f'ReplicaSet "{name_of(self.new)}"'
        return f'Deployment "{name_of(self.deployment)}"'


def deadline_s(deployment: Obj) -> int | None:
    """`progressDeadlineSeconds`; None where progress is not to be judged."""
    deadline = deployment["spec"].get("progressDeadlineSeconds", 600)
    return None if deadline is None or deadline == NO_DEADLINE else int(deadline)


def condition(kind: str, status: str, reason: str, message: str, now_s: float) -> Obj:
    now = format_time(now_s)
    return {
        "type": kind,
        "status": status,
        "lastUpdateTime": now,
        "lastTransitionTime": now,
        "reason": reason,
        "message": message,
    }


def set_condition(present: Sequence[Obj], new: Obj) -> list[Obj]:
    """Like `with_condition`, but an entry with the same status and reason stays as it is."""
    old = conditions.find(present, new["type"])
    if old is not None and (old["status"], old["reason"]) == (new["status"], new["reason"]):
        return list(present)
    return conditions.with_condition(present, new)


def pause_condition(deployment: Obj, now_s: float) -> Obj | None:
    """What a pause that begins or ends makes of `Progressing`, or None."""
    if deadline_s(deployment) is None:
        return None
    present = conditions.find((deployment.get("status") or {}).get("conditions") or (), PROGRESSING)
    reason = present["reason"] if present else ""
    if reason == TIMED_OUT:
        return None  # the verdict stands until there is progress
    paused = bool(deployment["spec"].get("paused"))
    if paused and reason != PAUSED:
        return condition(PROGRESSING, "Unknown", PAUSED, "Deployment is paused", now_s)
    if not paused and reason == PAUSED:
        return condition(PROGRESSING, "Unknown", RESUMED, "Deployment is resumed", now_s)
    return None


def counts(view: View, present: Sequence[Obj]) -> Obj:
    """The status with its numbers and `Available`; `present` are the conditions to start from."""

    def total(field: str, sets: Sequence[Obj]) -> int:
        return sum((rs.get("status") or {}).get(field, 0) for rs in sets)

    available = total("availableReplicas", view.every)
    numbers = {
        "replicas": total("replicas", view.every),
        "updatedReplicas": total("replicas", [view.new] if view.new else []),
        "readyReplicas": total("readyReplicas", view.every),
        "availableReplicas": available,
        "unavailableReplicas": max(sum(view.sizes.values()) - available, 0),
    }
    result: Obj = {"observedGeneration": view.deployment["metadata"].get("generation", 0)}
    result.update({field: number for field, number in numbers.items() if number})
    result["terminatingReplicas"] = total("terminatingReplicas", view.every)
    if collisions := (view.deployment.get("status") or {}).get("collisionCount"):
        result["collisionCount"] = collisions
    if available >= view.strategy.least_available:
        verdict = ("True", "MinimumReplicasAvailable", "Deployment has minimum availability.")
    else:
        verdict = (
            "False",
            "MinimumReplicasUnavailable",
            "Deployment does not have minimum availability.",
        )
    result["conditions"] = set_condition(present, condition(AVAILABLE, *verdict, view.now_s))
    return result


def is_complete(view: View, status: Obj) -> bool:
    desired = view.strategy.desired
    return all(
        status.get(field, 0) == desired for field in ("updatedReplicas", "replicas", "availableReplicas")
    )


def judge_progress(view: View, status: Obj) -> Obj:
    """`status` with `Progressing` and `ReplicaFailure` set; the former status is the Deployment's own."""
    listed: list[Obj] = status["conditions"]
    deadline = deadline_s(view.deployment)
    if deadline is None:
        listed = conditions.without(listed, PROGRESSING)
    else:
        listed = _progress(view, status, listed, deadline)
    failure = _failure(view)
    listed = set_condition(listed, failure) if failure else conditions.without(listed, REPLICA_FAILURE)
    return {**status, "conditions": listed}


def _progress(view: View, status: Obj, listed: list[Obj], deadline: int) -> list[Obj]:
    present = conditions.find(listed, PROGRESSING)
    reason = present["reason"] if present else ""
    done_before = reason == COMPLETE and status.get("replicas", 0) == status.get("updatedReplicas", 0)
    if done_before:
        return listed  # a Pod that fails later is no rollout
    if is_complete(view, status):
        message = f"{view.subject} has successfully progressed."
        return set_condition(listed, condition(PROGRESSING, "True", COMPLETE, message, view.now_s))
    if _moves(view.deployment.get("status") or {}, status):
        message = f"{view.subject} is progressing."
        moved = condition(PROGRESSING, "True", "ReplicaSetUpdated", message, view.now_s)
        # Written even when it says the same again: the deadline counts from its update time.
        return conditions.with_condition(listed, moved)
    if (
        present is not None
        and reason not in (COMPLETE, TIMED_OUT)
        and _overdue(present, deadline, view.now_s)
    ):
        message = f"{view.subject} has timed out progressing."
        return set_condition(listed, condition(PROGRESSING, "False", TIMED_OUT, message, view.now_s))
    return listed


def _moves(old: Obj, new: Obj) -> bool:
    """More new Pods, fewer old ones, more ready or more available ones than before."""

    def outdated(status: Obj) -> int:
        return int(status.get("replicas", 0)) - int(status.get("updatedReplicas", 0))

    grows = ("updatedReplicas", "readyReplicas", "availableReplicas")
    return outdated(new) < outdated(old) or any(new.get(field, 0) > old.get(field, 0) for field in grows)


def _overdue(progressing: Obj, deadline: int, now_s: float) -> bool:
    return parse_time(progressing["lastUpdateTime"]) + deadline < now_s


def deadline_in(view: View, status: Obj) -> float | None:
    """Seconds until the rollout of `status` may be found stuck; None where there is nothing to wait for."""
    deadline = deadline_s(view.deployment)
    progressing = conditions.find(status["conditions"], PROGRESSING)
    if deadline is None or progressing is None or is_complete(view, status):
        return None
    if progressing["reason"] in (TIMED_OUT, COMPLETE, PAUSED):
        return None
    # A second more, for the times in conditions are whole seconds.
    return max(parse_time(progressing["lastUpdateTime"]) + deadline - view.now_s, 0.0) + 1


def _failure(view: View) -> Obj | None:
    """`ReplicaFailure` of the new ReplicaSet, or of any other."""
    ordered = [*([view.new] if view.new else []), *view.every]
    for replica_set in ordered:
        listed = (replica_set.get("status") or {}).get("conditions") or ()
        found = conditions.find(listed, REPLICA_FAILURE)
        if found is not None:
            return condition(
                REPLICA_FAILURE,
                found["status"],
                found.get("reason", ""),
                found.get("message", ""),
                view.now_s,
            )
    return None


def same(old: Obj | None, new: Obj) -> bool:
    """Whether writing `new` over `old` would change anything."""
    old = old or {}
    return all((old.get(field) or 0) == (new.get(field) or 0) for field in {*old, *new})
