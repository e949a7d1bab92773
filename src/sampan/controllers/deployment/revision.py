"""Revisions of a Deployment: which ReplicaSet is which, and what `kubectl rollout` reads. Pure.

Annotations (Deployment docs, "rollover" and "checking rollout history"): `revision` numbers the templates in
the order of their last use, `revision-history` keeps the numbers a ReplicaSet had before, `desired-replicas`
and `max-replicas` say for which size of the Deployment a ReplicaSet was sized last.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sampan.api.objects import Obj, annotations_of, is_deleting, labels_of, name_of

HASH_LABEL = "pod-template-hash"
REVISION = "deployment.kubernetes.io/revision"
REVISION_HISTORY = "deployment.kubernetes.io/revision-history"
DESIRED_REPLICAS = "deployment.kubernetes.io/desired-replicas"
MAX_REPLICAS = "deployment.kubernetes.io/max-replicas"
HISTORY_LENGTH = 2000
"""Most characters kept of `revision-history`."""
_NOT_INHERITED = frozenset(
    {
        "kubectl.kubernetes.io/last-applied-configuration",
        "deprecated.deployment.rollback.rollbackTo",
        REVISION,
        REVISION_HISTORY,
        DESIRED_REPLICAS,
        MAX_REPLICAS,
    }
)


def same_template(one: Obj, other: Obj) -> bool:
    """Whether two Pod templates are the same but for the label that a ReplicaSet's adds."""
    return bool(_comparable(one) == _comparable(other))


def _comparable(template: Obj) -> Any:
    metadata = {key: value for key, value in (template.get("metadata") or {}).items() if value}
    labels = {key: value for key, value in metadata.get("labels", {}).items() if key != HASH_LABEL}
    return {**template, "metadata": {**metadata, "labels": labels}}


def by_age(replica_sets: Iterable[Obj]) -> list[Obj]:
    """Oldest first; those of one second by name."""
    return sorted(replica_sets, key=lambda rs: (rs["metadata"].get("creationTimestamp") or "", name_of(rs)))


def split(deployment: Obj, replica_sets: Iterable[Obj]) -> tuple[Obj | None, list[Obj]]:
    """(the ReplicaSet of today's template or None, all others, oldest first).

    Of several with today's template, which hash collisions and hand-made sets can give, the oldest is it.
    """
    ordered = by_age(replica_sets)
    template = deployment["spec"]["template"]
    new = next((rs for rs in ordered if same_template(rs["spec"]["template"], template)), None)
    return new, [rs for rs in ordered if rs is not new]


def revision(obj: Obj) -> int:
    """The number in the annotation, 0 without one."""
    try:
        return int(annotations_of(obj).get(REVISION, "0"))
    except ValueError:
        return 0


def next_revision(old: Iterable[Obj]) -> int:
    return max(map(revision, old), default=0) + 1


def inherited(deployment: Obj) -> dict[str, str]:
    """The Deployment's annotations that its ReplicaSets carry as well."""
    return {key: value for key, value in annotations_of(deployment).items() if key not in _NOT_INHERITED}


def size_annotations(desired: int, most: int) -> dict[str, str]:
    return {DESIRED_REPLICAS: str(desired), MAX_REPLICAS: str(most)}


def changed_annotations(deployment: Obj, replica_set: Obj, number: int) -> dict[str, str]:
    """What to set on the existing new ReplicaSet: inherited ones and, when it is higher, its number."""
    present = annotations_of(replica_set)
    changes = {key: value for key, value in inherited(deployment).items() if present.get(key) != value}
    was = revision(replica_set)
    if was < number:
        changes[REVISION] = str(number)
        if was:
            history = [text for text in present.get(REVISION_HISTORY, "").split(",") if text]
            history.append(str(was))
            while len(",".join(history)) > HISTORY_LENGTH:
                history.pop(0)
            changes[REVISION_HISTORY] = ",".join(history)
    return changes


def surplus_history(deployment: Obj, old: Sequence[Obj]) -> list[Obj]:
    """Old ReplicaSets beyond `revisionHistoryLimit`, lowest revision first; never one that still has Pods."""
    limit = deployment["spec"].get("revisionHistoryLimit", 10)
    alive = [rs for rs in old if not is_deleting(rs)]
    ordered = sorted(alive, key=lambda rs: (revision(rs), rs["metadata"].get("creationTimestamp") or ""))
    return [rs for rs in ordered[: max(len(alive) - limit, 0)] if _is_empty(rs)]


def _is_empty(replica_set: Obj) -> bool:
    status = replica_set.get("status") or {}
    seen = status.get("observedGeneration", 0) >= replica_set["metadata"].get("generation", 0)
    return seen and not status.get("replicas") and not replica_set["spec"].get("replicas", 1)


def new_replica_set(deployment: Obj, template_hash: str, replicas: int, number: int, most: int) -> Obj:
    """The ReplicaSet of today's template: name, selector and Pod labels carry the template's hash."""
    spec = deployment["spec"]
    template = spec["template"]
    labels = {**labels_of({"metadata": template.get("metadata") or {}}), HASH_LABEL: template_hash}
    selector = spec["selector"]
    rs_spec: Obj = {
        "replicas": replicas,
        "selector": {
            **selector,
            "matchLabels": {**(selector.get("matchLabels") or {}), HASH_LABEL: template_hash},
        },
        "template": {**template, "metadata": {**(template.get("metadata") or {}), "labels": labels}},
    }
    if spec.get("minReadySeconds"):
        rs_spec["minReadySeconds"] = spec["minReadySeconds"]
    return {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {
            "name": f"{name_of(deployment)}-{template_hash}",
            "namespace": deployment["metadata"]["namespace"],
            "labels": dict(labels),
            "annotations": {
                **inherited(deployment),
                REVISION: str(number),
                **size_annotations(spec.get("replicas", 1), most),
            },
        },
        "spec": rs_spec,
    }
