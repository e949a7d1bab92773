"""Resources served in more than one group or version, but stored in one.

The storage form is the preferred version's. Pure functions on dicts; the shared stored dict is never changed.
Sources: API reference of events.k8s.io/v1 Event and autoscaling/v1 HorizontalPodAutoscaler.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from sampan.api import resources
from sampan.api.objects import Obj
from sampan.api.resources import EVENTS, Resource

NEW_EVENTS = resources.resource("events.k8s.io", "v1", "events")
HPA_V1 = resources.resource("autoscaling", "v1", "horizontalpodautoscalers")
HPA_V2 = resources.resource("autoscaling", "v2", "horizontalpodautoscalers")

# (name in core/v1, name in events.k8s.io/v1)
_EVENT_FIELDS = (
    ("involvedObject", "regarding"),
    ("message", "note"),
    ("reportingComponent", "reportingController"),
    ("source", "deprecatedSource"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("count", "deprecatedCount"),
)


@cache
def storage_resource(resource: Resource) -> Resource:
    """The resource under whose name and in whose form objects of `resource` are stored."""
    return {NEW_EVENTS: EVENTS, HPA_V1: HPA_V2}.get(resource, resource)


@cache
def storage_prefix(resource: Resource) -> str:
    """`/registry/<group or core>/<plural>/`."""
    stored = storage_resource(resource)
    return f"/registry/{stored.group or 'core'}/{stored.plural}/"


def to_storage(resource: Resource, obj: Obj) -> Obj:
    convert = _TO_STORAGE.get(resource)
    return convert(obj) if convert else obj


def from_storage(resource: Resource, obj: Obj) -> Obj:
    convert = _FROM_STORAGE.get(resource)
    return convert(obj) if convert else obj


def _event_to_core(obj: Obj) -> Obj:
    names = {new: old for old, new in _EVENT_FIELDS}
    core = {names.get(key, key): value for key, value in obj.items()}
    return core | {"apiVersion": "v1"}


def _event_from_core(obj: Obj) -> Obj:
    names = dict(_EVENT_FIELDS)
    new = {names.get(key, key): value for key, value in obj.items()}
    return new | {"apiVersion": "events.k8s.io/v1"}


def _hpa_to_v2(obj: Obj) -> Obj:
    new = {**obj, "apiVersion": "autoscaling/v2"}
    if spec := obj.get("spec"):
        spec = new["spec"] = dict(spec)
        percent = spec.pop("targetCPUUtilizationPercentage", None)
        if percent is not None:
            target = {"type": "Utilization", "averageUtilization": percent}
            spec["metrics"] = [{"type": "Resource", "resource": {"name": "cpu", "target": target}}]
    if status := obj.get("status"):
        status = new["status"] = dict(status)
        current = status.pop("currentCPUUtilizationPercentage", None)
        if current is not None:
            value = {"averageUtilization": current}
            status["currentMetrics"] = [{"type": "Resource", "resource": {"name": "cpu", "current": value}}]
    return new


def _hpa_from_v2(obj: Obj) -> Obj:
    old = {**obj, "apiVersion": "autoscaling/v1"}
    if spec := obj.get("spec"):
        spec = old["spec"] = {k: v for k, v in spec.items() if k not in ("metrics", "behavior")}
        for metric in obj["spec"].get("metrics") or ():
            if metric.get("type") == "Resource" and metric["resource"]["name"] == "cpu":
                percent = metric["resource"]["target"].get("averageUtilization")
                if percent is not None:
                    spec["targetCPUUtilizationPercentage"] = percent
    if status := obj.get("status"):
        hidden = ("currentMetrics", "conditions")
        status = old["status"] = {k: v for k, v in status.items() if k not in hidden}
        for metric in obj["status"].get("currentMetrics") or ():
            if metric.get("type") == "Resource" and metric["resource"]["name"] == "cpu":
                percent = metric["resource"]["current"].get("averageUtilization")
                if percent is not None:
                    status["currentCPUUtilizationPercentage"] = percent
    return old


_TO_STORAGE: dict[Resource, Callable[[Obj], Obj]] = {NEW_EVENTS: _event_to_core, HPA_V1: _hpa_to_v2}
_FROM_STORAGE: dict[Resource, Callable[[Obj], Obj]] = {NEW_EVENTS: _event_from_core, HPA_V1: _hpa_from_v2}
