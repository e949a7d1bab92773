"""The next step of a Deployment. Pure: a Deployment and its ReplicaSets in, what to write out.

A rollout goes in small steps, each from what is there: make the new ReplicaSet, grow it, shrink the old ones
(Recreate: end the old ones, wait until their Pods are gone, make the new one), clean up. Whatever a step
changes comes back through the informers and asks for the next. A paused Deployment, and one whose `replicas`
have changed in the middle of a rollout, is only scaled.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sampan.api.objects import Obj, annotations_of, is_deleting, name_of, uid_of
from sampan.controllers import conditions
from sampan.controllers.deployment import revision as revisions
from sampan.controllers.deployment import status as statuses
from sampan.controllers.deployment.scale import (
    Size,
    Strategy,
    new_size,
    proportional,
    shrink_old,
    strategy_of,
)


@dataclass(frozen=True, slots=True)
class Change:
    """A ReplicaSet to patch: its next size (maybe as now), annotations to set, new minReadySeconds."""

    replica_set: Obj
    replicas: int
    annotations: Mapping[str, str] = field(default_factory=dict)
    min_ready_s: int | None = None

    @property
    def resizes(self) -> bool:
        return self.replicas != replicas_of(self.replica_set)


@dataclass(frozen=True, slots=True)
class Plan:
    """`status` is complete; `revision` is 0 where the Deployment's annotation is to stay as it is."""

    status: Obj
    create: Obj | None = None
    change: tuple[Change, ...] = ()
    delete: tuple[Obj, ...] = ()
    revision: int = 0
    again_s: float | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """What is done to the ReplicaSets; `judge` says whether progress is judged now."""

    create: int | None = None
    sizes: Mapping[str, int] = field(default_factory=dict)
    annotate: bool = False
    delete: tuple[Obj, ...] = ()
    judge: bool = True


def replicas_of(obj: Obj) -> int:
    return int(obj["spec"].get("replicas", 1))


def plan(
    deployment: Obj,
    replica_sets: Sequence[Obj],
    pods: Mapping[str, Sequence[Obj]],
    template_hash: str,
    now_s: float,
) -> Plan:
    """`replica_sets` are the Deployment's own; `pods` theirs by the set's uid, terminating ones too."""
    strategy = strategy_of(deployment["spec"])
    new, old = revisions.split(deployment, replica_sets)
    if is_deleting(deployment):
        step = Step(judge=False)
    elif deployment["spec"].get("paused"):
        surplus = tuple(revisions.surplus_history(deployment, old))
        step = _scaled(deployment, strategy, new, old, surplus)
    elif _was_scaled(strategy, [*old, *([new] if new else [])]):
        step = _scaled(deployment, strategy, new, old, ())
    elif strategy.recreate:
        step = _recreate(strategy, new, old, pods)
    else:
        step = _roll(strategy, new, old)
    return _assemble(deployment, strategy, new, old, step, template_hash, now_s)


def _was_scaled(strategy: Strategy, replica_sets: Sequence[Obj]) -> bool:
    """Whether a ReplicaSet with Pods was sized for another number than the Deployment has now."""
    wanted = str(strategy.desired)
    return any(
        replicas_of(rs) > 0 and annotations_of(rs).get(revisions.DESIRED_REPLICAS, wanted) != wanted
        for rs in replica_sets
    )


def _scaled(
    deployment: Obj, strategy: Strategy, new: Obj | None, old: Sequence[Obj], surplus: tuple[Obj, ...]
) -> Step:
    every = [*old, *([new] if new else [])]
    active = [rs for rs in every if replicas_of(rs) > 0]
    if len(active) <= 1:
        # Nothing is being rolled: the one with Pods (or the latest) is the Deployment.
        only = active[0] if active else (new or (old[-1] if old else None))
        sizes = {uid_of(only): strategy.desired} if only and replicas_of(only) != strategy.desired else {}
        return Step(sizes=sizes, delete=surplus, judge=False)
    if new is not None and _saturated(strategy, new):
        return Step(sizes={uid_of(rs): 0 for rs in old if replicas_of(rs) > 0}, delete=surplus, judge=False)
    if strategy.recreate:
        return Step(delete=surplus, judge=False)
    fallback = (deployment.get("status") or {}).get("replicas", 0)
    sizes = proportional(strategy, [_size(rs) for rs in revisions.by_age(active)], fallback)
    return Step(sizes=sizes, annotate=True, delete=surplus, judge=False)


def _saturated(strategy: Strategy, new: Obj) -> bool:
    sized_for = annotations_of(new).get(revisions.DESIRED_REPLICAS)
    size = _size(new)
    return sized_for == str(strategy.desired) and size.replicas == size.available == strategy.desired


def _recreate(
    strategy: Strategy, new: Obj | None, old: Sequence[Obj], pods: Mapping[str, Sequence[Obj]]
) -> Step:
    if shrunk := {uid_of(rs): 0 for rs in old if replicas_of(rs) > 0}:
        return Step(sizes=shrunk)
    if any(_still_runs(rs, pods.get(uid_of(rs), ())) for rs in old):
        return Step()
    if new is None:
        return Step(create=strategy.desired)
    if replicas_of(new) != strategy.desired:
        return Step(sizes={uid_of(new): strategy.desired})
    return Step()


def _still_runs(replica_set: Obj, pods: Sequence[Obj]) -> bool:
    """Pods on their way out still run; finished ones do not."""
    if (replica_set.get("status") or {}).get("replicas"):
        return True
    return any((pod.get("status") or {}).get("phase") not in ("Failed", "Succeeded") for pod in pods)


def _roll(strategy: Strategy, new: Obj | None, old: Sequence[Obj]) -> Step:
    total = sum(map(replicas_of, old))
    if new is None:
        return Step(create=new_size(strategy, 0, total))
    size = replicas_of(new)
    if (wanted := new_size(strategy, size, total + size)) != size:
        return Step(sizes={uid_of(new): wanted})
    return Step(sizes=shrink_old(strategy, [_size(rs) for rs in old if replicas_of(rs) > 0], _size(new)))


def _size(replica_set: Obj) -> Size:
    sized_for = annotations_of(replica_set).get(revisions.MAX_REPLICAS, "")
    return Size(
        uid_of(replica_set),
        replicas_of(replica_set),
        (replica_set.get("status") or {}).get("availableReplicas", 0),
        int(sized_for) if sized_for.isdecimal() else 0,
    )


def _assemble(
    deployment: Obj,
    strategy: Strategy,
    new: Obj | None,
    old: Sequence[Obj],
    step: Step,
    template_hash: str,
    now_s: float,
) -> Plan:
    every = [*old, *([new] if new else [])]
    number = revisions.next_revision(old)
    present = (deployment.get("status") or {}).get("conditions") or []
    if not is_deleting(deployment) and (paused := statuses.pause_condition(deployment, now_s)) is not None:
        present = statuses.set_condition(present, paused)
    create: Obj | None = None
    if step.create is not None:
        create = revisions.new_replica_set(deployment, template_hash, step.create, number, strategy.most)
        present = _progressing(
            deployment, present, "NewReplicaSetCreated", f'Created new replica set "{name_of(create)}"', now_s
        )
    elif new is not None and conditions.find(present, statuses.PROGRESSING) is None:
        present = _progressing(
            deployment, present, "FoundNewReplicaSet", f'Found new replica set "{name_of(new)}"', now_s
        )
    sizes = {uid_of(rs): step.sizes.get(uid_of(rs), replicas_of(rs)) for rs in every}
    view = statuses.View(
        deployment,
        new,
        every,
        strategy,
        sizes if create is None else {**sizes, "": replicas_of(create)},
        now_s,
    )
    status = statuses.counts(view, present)
    delete = step.delete
    # A status that comes from before this step says nothing about the ReplicaSet the step makes.
    if step.judge and create is None:
        if not step.sizes and new is not None and statuses.is_complete(view, status):
            delete = tuple(revisions.surplus_history(deployment, old))
        status = statuses.judge_progress(view, status)
    own = number if create is not None else (max(revisions.revision(new), number) if new else 0)
    return Plan(
        status,
        create,
        () if is_deleting(deployment) else _changes(deployment, strategy, new, every, step, number),
        delete,
        own if own != revisions.revision(deployment) and not is_deleting(deployment) else 0,
        statuses.deadline_in(view, status),
    )


def _progressing(deployment: Obj, present: list[Obj], reason: str, message: str, now_s: float) -> list[Obj]:
    if statuses.deadline_s(deployment) is None:
        return present
    condition = statuses.condition(statuses.PROGRESSING, "True", reason, message, now_s)
    return statuses.set_condition(present, condition)


def _changes(
    deployment: Obj, strategy: Strategy, new: Obj | None, every: Sequence[Obj], step: Step, number: int
) -> tuple[Change, ...]:
    changes: list[Change] = []
    for rs in every:
        present = annotations_of(rs)
        annotations: dict[str, str] = {}
        min_ready_s: int | None = None
        if rs is new:
            annotations = revisions.changed_annotations(deployment, rs, number)
            wanted_s = deployment["spec"].get("minReadySeconds") or 0
            min_ready_s = wanted_s if wanted_s != (rs["spec"].get("minReadySeconds") or 0) else None
        size = step.sizes.get(uid_of(rs), replicas_of(rs))
        if size != replicas_of(rs) or (step.annotate and uid_of(rs) in step.sizes):
            sized = revisions.size_annotations(strategy.desired, strategy.most)
            annotations |= {key: value for key, value in sized.items() if present.get(key) != value}
        if annotations or min_ready_s is not None or size != replicas_of(rs):
            changes.append(Change(rs, size, annotations, min_ready_s))
    return tuple(changes)
