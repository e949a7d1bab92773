"""Pods: first status, quality of service, graceful deletion, binding to a node."""

from __future__ import annotations

from sampan.api import apparmor, clock, errors, podspec
from sampan.api.objects import Obj, condition_of
from sampan.api.resources import Resource
from sampan.api.validation.podresize import resized
from sampan.apiserver.deletion import Options
from sampan.apiserver.registry.hooks import Call, Hooks

_BINDING = Resource("", "v1", "Binding", "pods/binding", "binding", True)

_GATED = {
    "type": "PodScheduled",
    "status": "False",
    "reason": "SchedulingGated",
    "message": "Scheduling is blocked due to non-empty scheduling gates",
}


class PodHooks(Hooks):
    returns_deleted = True
    parts = frozenset(["ephemeralcontainers", "resize"])

    def prepare_create(self, call: Call, obj: Obj) -> None:
        obj["status"] = {"phase": "Pending", "qosClass": podspec.qos_class(obj)}
        apparmor.move(obj)
        if obj["spec"].get("schedulingGates"):
            obj["status"]["conditions"] = [{**_GATED, "observedGeneration": 1}]

    def prepare_status(self, call: Call, new: Obj, old: Obj) -> None:
        """The status endpoint leaves owners alone, and quality of service never changes."""
        fields = new["metadata"]
        fields.pop("ownerReferences", None)
        if "ownerReferences" in old["metadata"]:
            fields["ownerReferences"] = old["metadata"]["ownerReferences"]
        if qos_class := (old.get("status") or {}).get("qosClass"):
            new["status"]["qosClass"] = qos_class

    def prepare_part(self, call: Call, part: str, new: Obj, old: Obj) -> Obj:
        """Nothing but what the subresource is for."""
        if part == "resize":
            return _kept(new, old, resized(new, old))
        wanted = (new.get("spec") or {}).get("ephemeralContainers") or []
        kept = {key: value for key, value in old["spec"].items() if key != "ephemeralContainers"}
        return _kept(new, old, {**kept, "ephemeralContainers": wanted} if wanted else kept)

    def grace_s(self, obj: Obj, options: Options) -> int | None:
        """As asked, else as the Pod says; none for a Pod that no node runs."""
        if not obj["spec"].get("nodeName") or podspec.is_terminal(obj):
            return 0
        asked = options.grace_s
        if asked is None:
            asked = int(obj["spec"].get("terminationGracePeriodSeconds", 30))
        return asked if asked >= 0 else 1


def _kept(new: Obj, old: Obj, spec: Obj) -> Obj:
    """The old Pod with another spec, bound to the revision that the new one names."""
    revision = {"resourceVersion": new["metadata"].get("resourceVersion")}
    return {**old, "metadata": {**old["metadata"], **revision}, "spec": spec}


def bind(pod: Obj, binding: Obj) -> Obj:
    """`pod` (the caller's own copy) on the node a Binding names; raises 409 when it has one already."""
    name = pod["metadata"]["name"]
    target = binding.get("target") or {}
    node = target.get("name", "")
    if target.get("kind", "Node") not in ("", "Node"):
        broken = errors.not_supported("target.kind", target["kind"], ("Node", "<empty>"))
        raise errors.invalid(_BINDING, name, [broken])
    if not node:
        raise errors.invalid(_BINDING, name, [errors.required("target.name")])
    said = (binding.get("metadata") or {}).get("uid")
    if said and said != pod["metadata"]["uid"]:
        why = (
            f"Precondition failed: UID in precondition: {said}, UID in object meta: {pod['metadata']['uid']}"
        )
        raise errors.conflict(_BINDING, name, why)
    if pod["metadata"].get("deletionTimestamp"):
        raise errors.conflict(_BINDING, name, f"pod {name} is being deleted, cannot be assigned to a host")
    if present := pod["spec"].get("nodeName"):
        why = f'pod {name} is already assigned to node "{present}"'
        raise errors.conflict(_BINDING, name, why)
    if pod["spec"].get("schedulingGates"):
        why = f"pod {name} has non-empty .spec.schedulingGates"
        raise errors.conflict(_BINDING, name, why)
    pod["spec"]["nodeName"] = node
    for field in ("annotations", "labels"):
        if more := (binding.get("metadata") or {}).get(field):
            pod["metadata"][field] = {**(pod["metadata"].get(field) or {}), **more}
    status = pod.setdefault("status", {})
    condition = {
        "type": "PodScheduled",
        "status": "True",
        "observedGeneration": pod["metadata"].get("generation", 0),
        "lastProbeTime": None,
        "lastTransitionTime": clock.now(),
    }
    present_condition = condition_of(pod, "PodScheduled")
    others = [c for c in status.get("conditions") or () if c is not present_condition]
    status["conditions"] = [*others, condition]
    return pod
