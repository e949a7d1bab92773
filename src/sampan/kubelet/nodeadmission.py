"""Whether this node takes a Pod that was given to it: upstream's checks, reasons and sentences. Pure.

A Pod that is refused gets phase Failed for the reason; it is not tried again. The scheduler counts the same
way, so this meets Pods that named their node themselves, and what changed on the node meanwhile.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from sampan.api import podspec
from sampan.api.objects import Obj
from sampan.kubelet import sysctls
from sampan.kubelet.qos import is_critical

LACKING = "OutOf"
"""How the reasons begin of Pods for which there is no room."""
MEMORY_TAINT = {"key": "node.kubernetes.io/memory-pressure", "value": "", "effect": "NoSchedule"}


@dataclass(frozen=True, slots=True)
class Rejection:
    """`reason` and `message` of the Event; the status has the message after `Pod was rejected: `."""

    reason: str
    message: str


def rejection(
    pod: Obj,
    used: Mapping[str, int],
    room: Mapping[str, int],
    pressures: Collection[str] = (),
    *,
    unsafe_sysctls: Sequence[str] = (),
    apparmor: bool = False,
) -> Rejection | None:
    """None if the Pod may run. `used` and `room` in units of `podspec.amount`, "pods" among them; `pressures`
    are types of the node's conditions; `unsafe_sysctls` what its administrator allows; `apparmor` whether its
    kernel has it.
    """
    return (
        _under_pressure(pod, pressures)
        or _sets_sysctls(pod, unsafe_sysctls)
        or _does_not_fit(pod, used, room)
        or _of_os(pod)
        or (None if apparmor else _of_app_armor(pod))
    )


def _under_pressure(pod: Obj, pressures: Collection[str]) -> Rejection | None:
    if not pressures or is_critical(pod):
        return None
    # A Pod that asked for memory is worth taking while memory alone is short.
    if set(pressures) == {"MemoryPressure"} and (
        podspec.qos_class(pod) != "BestEffort"
        or any(podspec.toleration_matches(t, MEMORY_TAINT) for t in pod["spec"].get("tolerations") or ())
    ):
        return None
    listed = " ".join(sorted(pressures))
    return Rejection("Evicted", f"The node had condition: [{listed}]. ")


def _does_not_fit(pod: Obj, used: Mapping[str, int], room: Mapping[str, int]) -> Rejection | None:
    for name, asked in {"pods": 1, **podspec.requests(pod)}.items():
        # What the node never heard of is the scheduler's business, as upstream has it.
        if not asked or ("/" in name and name not in room):
            continue
        taken, most = used.get(name, 0), room.get(name, 0)
        if asked > most - taken:
            return _lacking(name, asked, taken, most)
    return None


def _lacking(name: str, asked: int, used: int, room: int) -> Rejection:
    return Rejection(
        f"{LACKING}{name}",
        f"Node didn't have enough resource: {name}, requested: {asked}, used: {used}, capacity: {room}",
    )


def _of_os(pod: Obj) -> Rejection | None:
    name = (pod["spec"].get("os") or {}).get("name", "linux")
    if name == "linux":
        return None
    return Rejection("PodOSNotSupported", "Failed to admit pod as the OS field doesn't match node OS")


def _sets_sysctls(pod: Obj, unsafe: Sequence[str]) -> Rejection | None:
    sentence = sysctls.forbidden(pod, unsafe)
    return Rejection("SysctlForbidden", sentence) if sentence else None


def _of_app_armor(pod: Obj) -> Rejection | None:
    """A profile of the node's own cannot be had; RuntimeDefault is nothing where there is no AppArmor."""
    spec = pod["spec"]
    contexts = [spec, *(container for _, _, container in podspec.all_containers(spec))]
    profiles = ((context.get("securityContext") or {}).get("appArmorProfile") or {} for context in contexts)
    if all(profile.get("type") != "Localhost" for profile in profiles):
        return None
    return Rejection("AppArmor", "Cannot enforce AppArmor: AppArmor is not enabled on the host")
