"""The status of a Pod from what its node knows: phase, conditions, containers. Pure.

Reasons and messages are upstream's, because people and tools search for them.
Source: concepts/workloads/pods/pod-lifecycle, "Pod phase" and "Pod conditions".
"""

from __future__ import annotations

from collections.abc import Sequence

from sampan.api import podspec
from sampan.api.clock import format_time
from sampan.api.objects import Obj, condition_of, uid_of
from sampan.kubelet.containerstatus import container_status
from sampan.kubelet.containerview import Kind
from sampan.kubelet.lifecycle import ENDED
from sampan.kubelet.plan import failed_for_good, is_finished
from sampan.kubelet.podview import PodView
from sampan.kubelet.resize import ResizeState

TERMINAL = ("Succeeded", "Failed")
PASSING = frozenset(("PodResizePending", "PodResizeInProgress"))
"""Conditions that go when they no longer hold, where others are False."""
MESSAGES_LIMIT = 12 * 1024
"""Bytes of termination messages that one Pod's status holds, in equal shares for its containers."""


def pod_status(view: PodView, host_ips: Sequence[str], now_s: float) -> Obj:
    """The whole PodStatus; conditions that others set are not in it."""
    pod = view.pod
    share = MESSAGES_LIMIT // len(view.containers)
    init = [container_status(view, container, now_s, share) for container in view.init]
    app = [container_status(view, container, now_s, share) for container in view.app]
    phase = pod_phase(view, app)
    generation = pod["metadata"].get("generation")
    old: Obj = pod.get("status") or {}
    status: Obj = {
        "phase": phase,
        "conditions": _conditions(view, phase, init, app, generation, now_s),
        "startTime": old.get("startTime") or format_time(view.seen_s),
        "qosClass": old.get("qosClass") or podspec.qos_class(pod),
        "containerStatuses": app,
    }
    if generation:
        status["observedGeneration"] = generation
    if init:
        status["initContainerStatuses"] = init
    if view.ephemeral:
        ephemeral = [container_status(view, container, now_s, share) for container in view.ephemeral]
        status["ephemeralContainerStatuses"] = ephemeral
    if host_ips:
        status |= {"hostIP": host_ips[0], "hostIPs": [{"ip": ip} for ip in host_ips]}
    if view.ips:
        status |= {"podIP": view.ips[0], "podIPs": [{"ip": ip} for ip in view.ips]}
    if view.verdict is not None and phase == "Failed":
        status["reason"], status["message"] = view.verdict
    if view.rejected:
        for listed in ("containerStatuses", "initContainerStatuses"):
            status.pop(listed, None)
    return status


def pod_phase(view: PodView, app: Sequence[Obj]) -> str:
    """Succeeded and Failed stay, and are said only when nothing runs any more."""
    old = podspec.phase(view.pod)
    if old in TERMINAL:
        return old
    phase = _phase(view, app)
    if phase in TERMINAL and not all(container.at_rest for container in view.containers):
        return old or "Pending"
    return phase


def _phase(view: PodView, app: Sequence[Obj]) -> str:
    if view.verdict is not None or any(failed_for_good(view, container) for container in view.init):
        return "Failed"
    if not view.initialized and not all(container.passed for container in view.init):
        return "Pending"
    running = sum("running" in status["state"] for status in app)
    over = [status for status in app if _over(status)]
    if running + len(over) < len(app):
        return "Failed" if view.state in ENDED and over else "Pending"
    if running:
        return "Running"
    if view.state in ENDED or is_finished(view):
        succeeded = all(
            "terminated" in s["state"] and s["state"]["terminated"]["exitCode"] == 0 for s in over
        )
        return "Succeeded" if succeeded else "Failed"
    return "Running"


def status_patch(pod: Obj, old: Obj, new: Obj) -> Obj | None:
    """A strategic merge patch from status `old` to `new`, bound to the Pod's uid; None if nothing differs.

    Lists of containers are replaced, and lists of addresses once one goes (a new sandbox has a new one);
    conditions are merged by type, so those that others set stay.
    """
    changed: Obj = {key: value for key, value in new.items() if key != "conditions" and old.get(key) != value}
    for key in ("podIPs", "hostIPs"):
        if key in changed and any(entry not in changed[key] for entry in old.get(key) or ()):
            changed[key] = [{"$patch": "replace"}, *changed[key]]
    changed |= {key: None for key in ("reason", "message") if key in old and key not in new}
    known = {condition["type"]: condition for condition in old.get("conditions") or ()}
    conditions = []
    for condition in new["conditions"]:
        before = known.get(condition["type"])
        if before == condition:
            continue
        stale = {key: None for key in ("reason", "message") if before and key in before}
        conditions.append(stale | condition)
    over = (known.keys() & PASSING) - {condition["type"] for condition in new["conditions"]}
    conditions += [{"type": kind, "$patch": "delete"} for kind in sorted(over)]
    if conditions:
        changed["conditions"] = conditions
    if not changed:
        return None
    return {"metadata": {"uid": uid_of(pod)}, "status": changed}


def is_urgent(old: Obj, new: Obj) -> bool:
    """Whether others act on the difference: phase, readiness or the end of a container."""

    def facts(status: Obj) -> object:
        conditions = {c["type"]: c["status"] for c in status.get("conditions") or ()}
        lists = (status.get(kind.reported) or () for kind in Kind)
        containers = [
            (entry["ready"], entry["restartCount"], "terminated" in entry["state"])
            for entries in lists
            for entry in entries
        ]
        ready = (conditions.get("Ready", "False"), conditions.get("ContainersReady", "False"))
        return status.get("phase") or "Pending", ready, [facts for facts in containers if any(facts)]

    return facts(old) != facts(new)


def _over(status: Obj) -> bool:
    """It has run and does not run now."""
    return "terminated" in status["state"] or (
        "waiting" in status["state"] and "terminated" in status["lastState"]
    )


def _conditions(
    view: PodView, phase: str, init: Sequence[Obj], app: Sequence[Obj], generation: int | None, now_s: float
) -> list[Obj]:
    sidecars = {container.name for container in view.sidecars}
    # What will fail leaves the endpoints before its containers are told to stop.
    fate = "Failed" if view.verdict is not None else phase
    containers = _containers_ready(fate, [*(s for s in init if s["name"] in sidecars), *app])
    sandbox = view.sandbox is not None and (bool(view.ips) or view.sandbox.net == "")
    found: dict[str, Obj] = {
        "PodReadyToStartContainers": _plain(sandbox and view.state not in ENDED),
        "Initialized": _initialized(view, phase, init),
        "Ready": _pod_ready(view.pod, containers),
        "ContainersReady": containers,
        "PodScheduled": _plain(True),
    }
    if view.disruption is not None:
        reason, message = view.disruption
        found["DisruptionTarget"] = {"status": "True", "reason": reason, "message": message}
    found |= _resize(view.resize)
    result = []
    for kind, condition in found.items():
        before = condition_of(view.pod, kind)
        kept = before is not None and before["status"] == condition["status"]
        since = (before or {}).get("lastTransitionTime") if kept else None
        entry: Obj = {"type": kind, "lastTransitionTime": since or format_time(now_s)}
        if generation:
            entry["observedGeneration"] = generation
        result.append(entry | condition)
    return result


def _resize(state: ResizeState) -> dict[str, Obj]:
    found: dict[str, Obj] = {}
    if (pending := state.pending) is not None:
        said = {"reason": pending.reason, "message": pending.message}
        found["PodResizePending"] = {"status": "True", **said}
    if state.in_progress:
        problem = {"reason": "Error", "message": state.error} if state.error else {}
        found["PodResizeInProgress"] = {"status": "True", **problem}
    return found


def _plain(holds: bool) -> Obj:
    return {"status": "True" if holds else "False"}


def _not(reason: str, message: str = "") -> Obj:
    return {"status": "False", "reason": reason} | ({"message": message} if message else {})


def _initialized(view: PodView, phase: str, init: Sequence[Obj]) -> Obj:
    if phase == "Succeeded":
        return {"status": "True", "reason": "PodCompleted"}
    passed = {container.name for container in view.init if container.passed}
    incomplete = (
        [] if view.initialized else [status["name"] for status in init if status["name"] not in passed]
    )
    if incomplete:
        listed = " ".join(incomplete)
        return _not("ContainersNotInitialized", f"containers with incomplete status: [{listed}]")
    return _plain(True)


def _containers_ready(phase: str, lasting: Sequence[Obj]) -> Obj:
    """`lasting`: the statuses of sidecars and main containers."""
    if phase == "Succeeded":
        return _not("PodCompleted")
    if phase == "Failed":
        return _not("PodFailed")
    unready = [status["name"] for status in lasting if not status["ready"]]
    if unready:
        return _not("ContainersNotReady", f"containers with unready status: [{' '.join(unready)}]")
    return _plain(True)


def _pod_ready(pod: Obj, containers: Obj) -> Obj:
    if containers["status"] != "True":
        return containers
    problems = []
    for gate in pod["spec"].get("readinessGates") or ():
        kind = gate["conditionType"]
        condition = condition_of(pod, kind)
        if condition is None:
            problems.append(f'corresponding condition of pod readiness gate "{kind}" does not exist.')
        elif condition["status"] != "True":
            problems.append(
                f'the status of pod readiness gate "{kind}" is not "True", but {condition["status"]}'
            )
    return _not("ReadinessGatesNotReady", ", ".join(problems)) if problems else _plain(True)
