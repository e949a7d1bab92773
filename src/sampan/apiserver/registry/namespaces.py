"""Namespaces: two phases, finalizers of their own, and three that nobody deletes."""

from __future__ import annotations

from sampan.api import errors
from sampan.api.objects import Obj
from sampan.apiserver.registry.hooks import Call, Hooks

IMMORTAL = frozenset(["default", "kube-system", "kube-public"])
FINALIZER = "kubernetes"


class NamespaceHooks(Hooks):
    def prepare_create(self, call: Call, obj: Obj) -> None:
        obj["status"] = {"phase": "Active"}
        spec = obj.setdefault("spec", {})
        if FINALIZER not in (spec.get("finalizers") or ()):
            spec["finalizers"] = [*(spec.get("finalizers") or ()), FINALIZER]

    def prepare_update(self, call: Call, new: Obj, old: Obj) -> None:
        """spec.finalizers change through `finalize` alone."""
        new["spec"] = old.get("spec") or {}

    def check_delete(self, call: Call, obj: Obj) -> None:
        name = obj["metadata"]["name"]
        if name in IMMORTAL:
            raise errors.forbidden(call.resource, name, "this namespace may not be deleted")

    def held(self, obj: Obj) -> bool:
        return bool((obj.get("spec") or {}).get("finalizers"))

    def marked(self, obj: Obj) -> None:
        obj.setdefault("status", {})["phase"] = "Terminating"


def finalize(namespace: Obj, body: Obj) -> Obj:
    """`namespace` (the caller's own copy) with the finalizers that `body` leaves it."""
    said = (body.get("metadata") or {}).get("resourceVersion")
    if said:
        namespace["metadata"]["resourceVersion"] = said
    finalizers = (body.get("spec") or {}).get("finalizers") or []
    namespace["spec"] = {"finalizers": finalizers} if finalizers else {}
    return namespace
