"""The `scale` subresource: an autoscaling/v1 Scale as a view of an object's replicas. Pure functions."""

from __future__ import annotations

from sampan.api import errors, selectors
from sampan.api.objects import Obj
from sampan.api.resources import Resource

API_VERSION, KIND = "autoscaling/v1", "Scale"
_KEPT = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")


def view(obj: Obj) -> Obj:
    """The Scale of a Deployment, ReplicaSet, StatefulSet or ReplicationController."""
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    shown: Obj = {"replicas": status.get("replicas", 0)}
    if text := _selector(spec.get("selector")):
        shown["selector"] = text
    return {
        "kind": KIND,
        "apiVersion": API_VERSION,
        "metadata": {key: obj["metadata"][key] for key in _KEPT if key in obj["metadata"]},
        "spec": {"replicas": spec["replicas"]} if spec.get("replicas") else {},
        "status": shown,
    }


def set_replicas(resource: Resource, obj: Obj, scale: Obj) -> None:
    """Writes what a Scale asks for into its object (the caller's own copy)."""
    replicas = (scale.get("spec") or {}).get("replicas", 0)
    if replicas < 0:
        broken = errors.invalid_value("spec.replicas", replicas, "must be greater than or equal to 0")
        kind = Resource("autoscaling", "v1", KIND, "scales", "scale", True)
        raise errors.invalid(kind, obj["metadata"]["name"], [broken])
    obj["spec"]["replicas"] = replicas


def _selector(selector: Obj | None) -> str:
    if not selector:
        return ""
    if "matchLabels" in selector or "matchExpressions" in selector:
        return str(selectors.label_selector_from(selector))
    return str(selectors.label_selector_of(selector))
