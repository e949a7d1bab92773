"""What everybody asks of a Pod: its containers, what it needs, how it is, which template it came from."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from typing import Any

import orjson

from sampan.api import quantity
from sampan.api.names import safe_encode
from sampan.api.objects import Obj, condition_is_true, condition_of, is_deleting

CONTAINER_LISTS = ("initContainers", "containers", "ephemeralContainers")
TERMINAL_PHASES = ("Succeeded", "Failed")
HASH_LENGTH = 10


# --- containers ---------------------------------------------------------------------------------------------


def all_containers(spec: Obj) -> Iterator[tuple[str, int, Obj]]:
    """(list name, index, container) of init, main and ephemeral containers, in that order."""
    for name in CONTAINER_LISTS:
        for index, container in enumerate(spec.get(name) or ()):
            yield name, index, container


def is_sidecar(container: Obj) -> bool:
    """An init container that keeps running beside the main ones (KEP-753)."""
    return container.get("restartPolicy") == "Always"


def container_status(pod: Obj, name: str) -> Obj | None:
    status = pod.get("status") or {}
    for listed in ("containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"):
        for entry in status.get(listed) or ():
            if entry["name"] == name:
                return entry
    return None


def default_pull_policy(image: str) -> str:
    """`Always` for the tag `latest`, or for neither tag nor digest; else `IfNotPresent`."""
    name, _, digest = image.partition("@")
    tag = name.rpartition("/")[2].partition(":")[2]
    if digest and not tag:
        return "IfNotPresent"
    return "Always" if tag in ("", "latest") else "IfNotPresent"


def resolve_port(pod: Obj, port: int | str, protocol: str = "TCP") -> int | None:
    """A Service's `targetPort` in this Pod: a number is itself, a name is looked up; None if undeclared."""
    if isinstance(port, int):
        return port
    spec = pod["spec"]
    sidecars = (c for c in spec.get("initContainers") or () if is_sidecar(c))
    for container in (*spec["containers"], *sidecars):
        for declared in container.get("ports") or ():
            if declared.get("name") == port and declared.get("protocol", "TCP") == protocol:
                return declared["containerPort"]
    return None


# --- resources ----------------------------------------------------------------------------------------------


def amount(resource: str, text: Any) -> int:
    """CPU in thousandths of a core, everything else in whole units (bytes, counts), rounded up."""
    return quantity.milli(text) if resource == "cpu" else quantity.value(text)


def as_quantity(resource: str, count: int) -> quantity.Quantity:
    """Back from `amount`, in the family of suffixes that people write the resource in."""
    if resource == "cpu":
        return quantity.Quantity(count * 10**6)
    binary = resource in ("memory", "ephemeral-storage") or resource.startswith("hugepages-")
    suffixes = quantity.Suffixes.BINARY if binary else quantity.Suffixes.DECIMAL
    return quantity.Quantity(count * 10**9, suffixes)


def requests(pod: Obj) -> dict[str, int]:
    """What the scheduler counts for a Pod, in `amount`'s units: `{"cpu": 100, "memory": 1048576}`.

    The larger of what runs together (main containers and sidecars) and of what any init container needs
    beside the sidecars started before it; pod-level requests replace the sum; the overhead comes on top.
    """
    return _effective(pod["spec"], "requests")


def occupied(pod: Obj) -> dict[str, int]:
    """Like `requests`, but while a resize is under way the larger of what is asked for and what is held.

    What is asked for does not count once the node has said that it never can (KEP-1287).
    """
    if (pod["metadata"].get("generation") or 1) == 1:
        return requests(pod)  # its spec is the one it was created with
    pending = condition_of(pod, "PodResizePending") or {}
    asked = pending.get("reason") != "Infeasible"
    spec = dict(pod["spec"])
    for key in ("initContainers", "containers"):
        if key in spec:
            spec[key] = [_held(pod, container, asked=asked) for container in spec[key]]
    return _effective(spec, "requests")


def _held(pod: Obj, container: Obj, *, asked: bool) -> Obj:
    status = container_status(pod, container["name"]) or {}
    if "allocatedResources" not in status:
        return container
    known = [status["allocatedResources"], (status.get("resources") or {}).get("requests") or {}]
    if asked:
        known.append((container.get("resources") or {}).get("requests") or {})
    largest: Obj = {}
    for listed in known:
        for name, text in listed.items():
            if name not in largest or amount(name, text) > amount(name, largest[name]):
                largest[name] = text
    return {**container, "resources": {"requests": largest}}


def limits(pod: Obj) -> dict[str, int]:
    """Like `requests`, of the limits."""
    return _effective(pod["spec"], "limits")


def _effective(spec: Obj, which: str) -> dict[str, int]:
    together: dict[str, int] = {}
    sidecars: dict[str, int] = {}
    peak: dict[str, int] = {}
    for container in spec.get("containers") or ():
        _add(together, _listed(container, which))
    for container in spec.get("initContainers") or ():
        needed = _listed(container, which)
        if is_sidecar(container):
            _add(together, needed)
            _add(sidecars, needed)
            needed = dict(sidecars)
        else:
            _add(needed, sidecars)
        _raise(peak, needed)
    _raise(together, peak)
    together.update(_listed(spec, which))
    overhead = spec.get("overhead") or {}
    _add(together, {name: amount(name, text) for name, text in overhead.items()})
    return together


def _listed(holder: Obj, which: str) -> dict[str, int]:
    listed = (holder.get("resources") or {}).get(which) or {}
    return {name: amount(name, text) for name, text in listed.items()}


def _add(total: dict[str, int], more: dict[str, int]) -> None:
    for name, count in more.items():
        total[name] = total.get(name, 0) + count


def _raise(total: dict[str, int], floor: dict[str, int]) -> None:
    for name, count in floor.items():
        total[name] = max(total.get(name, 0), count)


def qos_class(pod: Obj) -> str:
    """Guaranteed: all containers limit CPU and memory and request as much. BestEffort: none sets any.

    Raises ValueError on an amount that is no quantity. Source: concepts/workloads/pods/pod-qos.
    """
    spec = pod["spec"]
    pod_level = spec.get("resources") or {}
    holders = (
        [spec]
        if pod_level.get("requests") or pod_level.get("limits")
        else [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())]
    )
    any_set, all_equal = False, True
    for holder in holders:
        resources = holder.get("resources") or {}
        requested, limited = _compute(resources.get("requests")), _compute(resources.get("limits"))
        any_set = any_set or bool(requested or limited)
        # A request left out is defaulted to the limit.
        if len(limited) < 2 or any(limited.get(name) != nano for name, nano in requested.items()):
            all_equal = False
    if not any_set:
        return "BestEffort"
    return "Guaranteed" if all_equal else "Burstable"


def _compute(listed: Obj | None) -> dict[str, int]:
    if not listed:
        return {}
    found = {name: quantity.quantity(listed[name]).nano for name in ("cpu", "memory") if name in listed}
    return {name: nano for name, nano in found.items() if nano > 0}


# --- state --------------------------------------------------------------------------------------------------


def phase(pod: Obj) -> str:
    return (pod.get("status") or {}).get("phase", "")


def image_references(pod: Obj) -> set[str]:
    """The images of all containers and image volumes, as they are written."""
    named = {container.get("image", "") for _, _, container in all_containers(pod["spec"])}
    volumes = pod["spec"].get("volumes") or ()
    named |= {(volume.get("image") or {}).get("reference", "") for volume in volumes}
    return named - {""}


def is_terminal(pod: Obj) -> bool:
    """It has ended and will not run again."""
    return phase(pod) in TERMINAL_PHASES


def is_active(pod: Obj) -> bool:
    """Neither ended nor on its way out: what a ReplicaSet counts."""
    return not is_terminal(pod) and not is_deleting(pod)


def is_ready(pod: Obj) -> bool:
    return condition_is_true(pod, "Ready")


def pod_ips(pod: Obj) -> list[str]:
    """All addresses, the primary one first."""
    status = pod.get("status") or {}
    listed = [entry["ip"] for entry in status.get("podIPs") or () if entry.get("ip")]
    if not listed and status.get("podIP"):
        return [status["podIP"]]
    return listed


# --- templates ----------------------------------------------------------------------------------------------


def template_hash(template: Obj, collision_count: int | None = None) -> str:
    """The `pod-template-hash` of a Pod template: ten characters of the safe alphabet.

    Equal for equal templates whatever their key order, in every process and Python version; the count, raised
    when two templates meet in one hash, makes another.
    """
    canonical = orjson.dumps([template, collision_count or 0], option=orjson.OPT_SORT_KEYS)
    digest = hashlib.blake2b(canonical, digest_size=8).digest()
    return safe_encode(int.from_bytes(digest, "big"), HASH_LENGTH)


def images(spec: Obj) -> Iterable[str]:
    """Image names of all containers, in order."""
    return (container.get("image", "") for _, _, container in all_containers(spec))


def toleration_matches(toleration: Obj, taint: Obj) -> bool:
    """An empty effect matches every effect, `Exists` with an empty key every taint."""
    if toleration.get("effect") and toleration["effect"] != taint["effect"]:
        return False
    if toleration.get("key") and toleration["key"] != taint["key"]:
        return False
    operator = toleration.get("operator") or "Equal"
    if operator == "Exists":
        return True
    return bool(toleration.get("key")) and toleration.get("value", "") == taint.get("value", "")
