"""What a delete request does to an object: remove it, mark it, or nothing. A pure decision.

Source: concepts/overview/working-with-objects/finalizers, concepts/architecture/garbage-collection,
concepts/workloads/pods/pod-lifecycle "Termination of Pods".
"""

from __future__ import annotations

from dataclasses import dataclass, field

from sampan.api import clock, errors
from sampan.api.objects import Obj, mutable
from sampan.api.request import Request
from sampan.api.resources import Resource
from sampan.apiserver.params import flag

ORPHAN, FOREGROUND = "orphan", "foregroundDeletion"
POLICIES = ("Orphan", "Background", "Foreground")
DRY_RUN = "All"
REMOVE, MARK, NOTHING = "remove", "mark", "nothing"


@dataclass(frozen=True, slots=True)
class Options:
    """DeleteOptions. `grace_s` is None when not asked for."""

    grace_s: int | None = None
    policy: str = ""
    orphan_dependents: bool | None = None
    uid: str = ""
    revision: str = ""
    dry_run: tuple[str, ...] = field(default=())


def requested(request: Request) -> Options:
    """DeleteOptions of the body, else of the query; raises 400/422 for what contradicts itself."""
    body = request.body if isinstance(request.body, dict) else {}
    params = request.params
    preconditions = body.get("preconditions") or {}
    grace = body.get("gracePeriodSeconds")
    if grace is None and params.get("gracePeriodSeconds"):
        try:
            grace = int(params["gracePeriodSeconds"])
        except ValueError:
            raise errors.bad_request("gracePeriodSeconds is not a number") from None
    policy = body.get("propagationPolicy") or params.get("propagationPolicy", "")
    orphan = body.get("orphanDependents")
    if orphan is None and "orphanDependents" in params:
        orphan = flag(params, "orphanDependents")
    kind = Resource("meta.k8s.io", "v1", "DeleteOptions", "", "", False)
    broken = []
    if policy and policy not in POLICIES:
        broken.append(errors.not_supported("propagationPolicy", policy, POLICIES))
    if policy and orphan is not None:
        why = "orphanDependents and deletionPropagation cannot be both set"
        broken.append(errors.invalid_value("propagationPolicy", policy, why))
    dry_run = tuple(body.get("dryRun") or ())
    if any(item != DRY_RUN for item in dry_run):
        broken.append(errors.not_supported("dryRun", list(dry_run), [DRY_RUN]))
    if broken:
        raise errors.invalid(kind, "", broken)
    return Options(
        grace_s=grace,
        policy=policy,
        orphan_dependents=orphan,
        uid=preconditions.get("uid", ""),
        revision=preconditions.get("resourceVersion", ""),
        dry_run=dry_run,
    )


@dataclass(frozen=True, slots=True)
class Outcome:
    """`obj` is the last state (REMOVE), the state to write (MARK), or the object as it is (NOTHING)."""

    action: str
    obj: Obj


def plan(obj: Obj, options: Options, grace_s: int | None, *, held: bool, now: float) -> Outcome:
    """Decides about `obj`, which is not changed.

    `grace_s` is how long the kind wants to linger (None: it knows no graceful deletion); `held` says that
    something besides metadata.finalizers keeps it (a namespace's spec.finalizers).
    """
    metadata = obj["metadata"]
    before = metadata.get("finalizers") or []
    finalizers = _finalizers(before, options)
    held = held or bool(finalizers)
    new = mutable(obj)
    fresh = new["metadata"]
    if finalizers:
        fresh["finalizers"] = finalizers
    else:
        fresh.pop("finalizers", None)
    if metadata.get("deletionTimestamp"):
        left = metadata.get("deletionGracePeriodSeconds") or 0
        shorter = grace_s is not None and grace_s < left
        if shorter:
            assert grace_s is not None
            asked_at = clock.parse_time(metadata["deletionTimestamp"]) - left
            fresh["deletionTimestamp"] = clock.format_time(asked_at + grace_s)
            fresh["deletionGracePeriodSeconds"] = left = grace_s
        if left == 0 and not held:
            return Outcome(REMOVE, new)
        return Outcome(MARK if shorter or finalizers != before else NOTHING, new)
    if not grace_s and not held:
        return Outcome(REMOVE, new)
    fresh["deletionTimestamp"] = clock.format_time(now + (grace_s or 0))
    fresh["deletionGracePeriodSeconds"] = grace_s or 0
    if fresh.get("generation"):
        fresh["generation"] += 1
    return Outcome(MARK, new)


def finished(obj: Obj, *, held: bool) -> bool:
    """Whether an update has taken away the last thing that kept a deleted object."""
    metadata = obj["metadata"]
    return bool(
        metadata.get("deletionTimestamp")
        and not metadata.get("deletionGracePeriodSeconds")
        and not metadata.get("finalizers")
        and not held
    )


def _finalizers(present: list[str], options: Options) -> list[str]:
    if not options.policy and options.orphan_dependents is None:
        return list(present)
    wanted = {"Orphan": ORPHAN, "Foreground": FOREGROUND}.get(options.policy)
    if options.orphan_dependents:
        wanted = ORPHAN
    others = [name for name in present if name not in (ORPHAN, FOREGROUND)]
    return [*others, wanted] if wanted else others
