"""An API object is a JSON dict; these are the few questions everybody asks of one.

Objects that come out of an informer or a watch are shared between components: read them, never write to
them. Whoever wants to change one takes a `copy.deepcopy` first (`mutable` is the short name for it).
"""

from __future__ import annotations

import copy
from typing import Any, TypeAlias

Obj: TypeAlias = dict[str, Any]


def name_of(obj: Obj) -> str:
    return obj["metadata"].get("name", "")


def namespace_of(obj: Obj) -> str:
    """The namespace, `""` for cluster-scoped objects."""
    return obj["metadata"].get("namespace", "")


def uid_of(obj: Obj) -> str:
    return obj["metadata"].get("uid", "")


def key_of(obj: Obj) -> str:
    """`namespace/name`, or `name` for cluster-scoped objects: what work queues and informers go by."""
    return join_key(namespace_of(obj), name_of(obj))


def join_key(namespace: str, name: str) -> str:
    return f"{namespace}/{name}" if namespace else name


def split_key(key: str) -> tuple[str, str]:
    """The reverse of `key_of`: (namespace or "", name)."""
    namespace, _, name = key.rpartition("/")
    return namespace, name


def labels_of(obj: Obj) -> dict[str, str]:
    return obj["metadata"].get("labels") or {}


def annotations_of(obj: Obj) -> dict[str, str]:
    return obj["metadata"].get("annotations") or {}


def is_deleting(obj: Obj) -> bool:
    return bool(obj["metadata"].get("deletionTimestamp"))


def revision_of(obj: Obj) -> int:
    """`metadata.resourceVersion` as the comparable integer it is documented to be since 1.35."""
    return int(obj["metadata"].get("resourceVersion") or 0)


def controller_of(obj: Obj) -> Obj | None:
    """The owner reference with `controller: true`, or None."""
    for ref in obj["metadata"].get("ownerReferences") or ():
        if ref.get("controller"):
            return ref
    return None


def owner_reference(owner: Obj, *, controller: bool = True, block_deletion: bool = True) -> Obj:
    """The reference a dependent of `owner` carries; `owner` must have apiVersion and kind."""
    return {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": name_of(owner),
        "uid": uid_of(owner),
        "controller": controller,
        "blockOwnerDeletion": block_deletion,
    }


def object_reference(obj: Obj) -> Obj:
    """`ObjectReference` as Events carry it in `involvedObject`."""
    reference = {"apiVersion": obj["apiVersion"], "kind": obj["kind"], "name": name_of(obj)}
    if namespace := namespace_of(obj):
        reference["namespace"] = namespace
    if uid := uid_of(obj):
        reference["uid"] = uid
    if revision := obj["metadata"].get("resourceVersion"):
        reference["resourceVersion"] = revision
    return reference


def condition_of(obj: Obj, kind: str) -> Obj | None:
    """The entry of `status.conditions` whose type is `kind`."""
    for condition in (obj.get("status") or {}).get("conditions") or ():
        if condition.get("type") == kind:
            return condition
    return None


def condition_is_true(obj: Obj, kind: str) -> bool:
    condition = condition_of(obj, kind)
    return condition is not None and condition.get("status") == "True"


def mutable(obj: Obj) -> Obj:
    """A deep copy that the caller owns."""
    return copy.deepcopy(obj)
