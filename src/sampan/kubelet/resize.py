"""In-place resize: what a Pod's containers are given when other amounts are asked for (KEP-1287). Pure.

Three sets of amounts: what the spec asks for, what the node has allocated (the room it holds for the Pod),
and what the kernel holds each container to. The Pod that its worker sees has the allocated amounts in its
spec.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sampan.api import podspec
from sampan.api.objects import Obj
from sampan.kubelet.qos import is_static
from sampan.kubelet.runtime.contract import Resources

RESIZABLE = ("cpu", "memory")
LISTS = ("initContainers", "containers")

Amounts = Mapping[str, Any]
"""Container -> its `resources` (requests, limits)."""


@dataclass(frozen=True, slots=True)
class Pending:
    """A resize that is not granted: Deferred may come to pass, Infeasible never will on this node."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class ResizeState:
    """What the Pod's conditions say. `error`: why it is not done although it was granted."""

    pending: Pending | None = None
    in_progress: bool = False
    error: str = ""


def amounts(pod: Obj) -> dict[str, Any]:
    """What the spec asks for."""
    found = {}
    for key in LISTS:
        for container in pod["spec"].get(key) or ():
            found[container["name"]] = container.get("resources") or {}
    return found


def with_amounts(pod: Obj, allocated: Amounts) -> Obj:
    """The Pod as the node has agreed to run it; shares all that does not differ."""
    spec = dict(pod["spec"])
    for key in LISTS:
        if key in spec:
            spec[key] = [
                {**container, "resources": allocated.get(container["name"], container.get("resources") or {})}
                for container in spec[key]
            ]
    return {**pod, "spec": spec}


def reported(pod: Obj) -> dict[str, Any]:
    """What an earlier process had allocated, as the status tells; the spec where it tells nothing."""
    found = amounts(pod)
    for name in found:
        status = podspec.container_status(pod, name) or {}
        if "allocatedResources" in status:
            given = status.get("resources") or {}
            found[name] = {**found[name], "requests": status["allocatedResources"]}
            if "limits" in given:
                found[name]["limits"] = given["limits"]
    return found


def verdict(pod: Obj, room: Mapping[str, int], whole: Mapping[str, int]) -> Pending | None:
    """None if it is granted. `room`: what the Pod could have now, `whole`: on an empty node."""
    if is_static(pod):
        return Pending("Infeasible", "In-place resize of static-pods is not supported")
    asked = {name: count for name, count in podspec.requests(pod).items() if name in RESIZABLE}
    for name, count in asked.items():
        if count > (most := whole.get(name, 0)):
            numbers = f"{name}, requested: {count}, capacity: {most}"
            return Pending("Infeasible", f"Node didn't have enough capacity: {numbers}")
    for name, count in asked.items():
        if count > (left := room.get(name, 0)):
            most = whole.get(name, 0)
            numbers = f"{name}, requested: {count}, used: {most - left}, capacity: {most}"
            return Pending("Deferred", f"Node didn't have enough resource: {numbers}")
    return None


def needs_restart(container: Obj, old: Resources, new: Resources) -> bool:
    """Whether what differs may not change under the container's feet, as its resizePolicy says."""
    policies = {
        each.get("resourceName"): each.get("restartPolicy") for each in container.get("resizePolicy") or ()
    }
    cpu = (old.cpu_shares, old.cpu_quota_us) != (new.cpu_shares, new.cpu_quota_us)
    memory = old.memory_bytes != new.memory_bytes
    return (cpu and policies.get("cpu") == "RestartContainer") or (
        memory and policies.get("memory") == "RestartContainer"
    )


def differ(old: Resources, new: Resources) -> bool:
    """Only in what can be resized: the OOM score is set for good."""

    def parts(resources: Resources) -> tuple[int, ...]:
        return resources.cpu_shares, resources.cpu_quota_us, resources.memory_bytes

    return parts(old) != parts(new)


def larger(old: Resources, new: Resources) -> Resources:
    """What encloses both: a Pod's own limits on the way from one to the other; 0 is no limit."""

    def wider(first: int, second: int) -> int:
        return max(first, second) if first and second else 0

    return Resources(
        cpu_shares=max(old.cpu_shares, new.cpu_shares),
        cpu_quota_us=wider(old.cpu_quota_us, new.cpu_quota_us),
        cpu_period_us=new.cpu_period_us,
        memory_bytes=wider(old.memory_bytes, new.memory_bytes),
        pids=new.pids,
    )


def too_small(limit_bytes: int, used_bytes: int, what: str) -> str:
    """Why a memory limit is not set now; "" if it may be. The kernel would kill to get below it."""
    if not limit_bytes or used_bytes <= limit_bytes:
        return ""
    return f"attempting to set {what} memory limit ({limit_bytes}) below current usage ({used_bytes})"
