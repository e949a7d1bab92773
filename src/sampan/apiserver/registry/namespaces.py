"""Namespaces: two phases, finalizers of their own, and three that nobody deletes."""

from __future__ import annotations

from sampan.api import errors
from sampan.api.objects import Obj
from sampan.api.resources import NAMESPACES
from sampan.apiserver.conversion import storage_prefix
from sampan.apiserver.registry.hooks import Call, Hooks
from sampan.apiserver.watchcache import Change, Hub

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


class NamespaceGate:
    """Lets new objects only into namespaces that exist and are there to stay.

    `close` is called in the step that hands a namespace's deletion to the store. From then on nothing is
    handed in after it, so whoever empties the namespace later sees all that was ever in it.
    """

    def __init__(self, hub: Hub) -> None:
        self._prefix = storage_prefix(NAMESPACES)
        self._namespaces = hub.cache(self._prefix)
        self._namespaces.listeners.append(self._changed)
        self._closing: set[str] = set()

    def close(self, namespace: str) -> None:
        self._closing.add(namespace)

    def reopen(self, namespace: str) -> None:
        """The deletion has failed."""
        self._closing.discard(namespace)

    def check(self, call: Call, name: str) -> None:
        """Raises 404 or 403; `name` is that of the object to be created."""
        resource, namespace = call.resource, call.request.namespace
        if not resource.namespaced:
            return
        entry = self._namespaces.get(self._prefix + namespace)
        if entry is None:
            raise errors.not_found(NAMESPACES, namespace)
        if namespace in self._closing or entry.obj["metadata"].get("deletionTimestamp"):
            why = f"unable to create new content in namespace {namespace} because it is being terminated"
            error = errors.forbidden(resource, name, why)
            cause = {
                "reason": "NamespaceTerminating",
                "message": f"namespace {namespace} is being terminated",
                "field": "metadata.namespace",
            }
            error.status["details"]["causes"] = [cause]
            raise error

    def _changed(self, change: Change) -> None:
        if change.type == "DELETED":
            self._closing.discard(change.entry.key.rpartition("/")[2])


def finalize(namespace: Obj, body: Obj) -> Obj:
    """`namespace` (the caller's own copy) with the finalizers that `body` leaves it."""
    said = (body.get("metadata") or {}).get("resourceVersion")
    if said:
        namespace["metadata"]["resourceVersion"] = said
    finalizers = (body.get("spec") or {}).get("finalizers") or []
    namespace["spec"] = {"finalizers": finalizers} if finalizers else {}
    return namespace
