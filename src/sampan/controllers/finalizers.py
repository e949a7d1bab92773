"""Finalizers of an object, put on and taken off. Pure: copies change; None means that nothing is to do."""

from __future__ import annotations

from sampan.api.objects import Obj, mutable


def has_finalizer(obj: Obj, finalizer: str) -> bool:
    return finalizer in (obj["metadata"].get("finalizers") or ())


def with_finalizer(obj: Obj, finalizer: str) -> Obj | None:
    if has_finalizer(obj, finalizer):
        return None
    changed = mutable(obj)
    changed["metadata"]["finalizers"] = [*(obj["metadata"].get("finalizers") or ()), finalizer]
    return changed


def without_finalizer(obj: Obj, finalizer: str) -> Obj | None:
    if not has_finalizer(obj, finalizer):
        return None
    changed = mutable(obj)
    changed["metadata"]["finalizers"] = [each for each in obj["metadata"]["finalizers"] if each != finalizer]
    return changed
