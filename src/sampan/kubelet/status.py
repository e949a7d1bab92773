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
from sampan.kubelet.lifecycle import PodState
from sampan.kubelet.plan import is_finished
from sampan.kubelet.podview import PodView

TERMINAL = ("Succeeded", "Failed")
OWN_CONDITIONS = ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled")
_ENDED = (PodState.STOPPED, PodState.RELEASING, PodState.RELEASED)


def pod_status(view: PodView, host_ips: Sequence[str], now_s: float) -> Obj:
    """The whole PodStatus; conditions that others set are not in it."""
    pod = view.pod
    init = [container_status(view, container, now_s) for container in view.init]
    app = [container_status(view, container, now_s) for container in view.app]
    phase = pod_phase(view, init, app)
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
    if host_ips:
        status |= {"hostIP": host_ips[0], "hostIPs": [{"ip": ip} for ip in host_ips]}
    if view.ips:
        status |= {"podIP": view.ips[0], "podIPs": [{"ip": ip} for ip in view.ips]}
    if view.verdict is not None:
        status["reason"], status["message"] = view.verdict
    return status


def pod_phase(view: PodView, init: Sequence[Obj], app: Sequence[Obj]) -> str:
    old = podspec.phase(view.pod)
    if old in TERMINAL:
        return old
    if view.verdict is not None:
        return "Failed"
    if any(_failed(status) for status in init) and view.restart_policy == "Never":
        return "Failed"
    started = any("running" in status["state"] or _over(status) for status in app)
    if not started and any("terminated" not in status["state"] or _failed(status) for status in init):
        return "Pending"
    running = sum("running" in status["state"] for status in app)
    over = [status for status in app if _over(status)]
    if running + len(over) < len(app):
        ended = view.state in _ENDED
        return "Failed" if ended and over else "Pending"
    if running:
        return "Running"
    succeeded = all("terminated" in s["state"] and s["state"]["terminated"]["exitCode"] == 0 for s in over)
    if view.state in _ENDED or is_finished(view):
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
    if conditions:
        changed["conditions"] = conditions
    if not changed:
        return None
    return {"metadata": {"uid": uid_of(pod)}, "status": changed}


def is_urgent(old: Obj, new: Obj) -> bool:
    """Whether others act on the difference: phase, readiness or the end of a container."""

    def facts(status: Obj) -> object:
        conditions = {c["type"]: c["status"] for c in status.get("conditions") or ()}
        lists = (status.get("initContainerStatuses") or (), status.get("containerStatuses") or ())
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


def _failed(status: Obj) -> bool:
    ended = status["state"].get("terminated") or status["lastState"].get("terminated")
    return bool(ended) and "running" not in status["state"] and ended["exitCode"] != 0


def _conditions(
    view: PodView, phase: str, init: Sequence[Obj], app: Sequence[Obj], generation: int | None, now_s: float
) -> list[Obj]:
    containers = _containers_ready(phase, app)
    sandbox = view.sandbox is not None and (bool(view.ips) or view.sandbox.net == "")
    found: dict[str, Obj] = {
        "PodReadyToStartContainers": _plain(sandbox and view.state not in _ENDED),
        "Initialized": _initialized(phase, init, app),
        "Ready": _pod_ready(view.pod, containers),
        "ContainersReady": containers,
        "PodScheduled": _plain(True),
    }
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


def _plain(holds: bool) -> Obj:
    return {"status": "True" if holds else "False"}


def _not(reason: str, message: str = "") -> Obj:
    return {"status": "False", "reason": reason} | ({"message": message} if message else {})


def _initialized(phase: str, init: Sequence[Obj], app: Sequence[Obj]) -> Obj:
    if phase == "Succeeded":
        return {"status": "True", "reason": "PodCompleted"}
    started = any("running" in status["state"] or _over(status) for status in app)
    incomplete = [] if started else [status["name"] for status in init if not status["ready"]]
    if incomplete:
        listed = " ".join(incomplete)
        return _not("ContainersNotInitialized", f"containers with incomplete status: [{listed}]")
    return _plain(True)


def _containers_ready(phase: str, app: Sequence[Obj]) -> Obj:
    if phase == "Succeeded":
        return _not("PodCompleted")
    if phase == "Failed":
        return _not("PodFailed")
    unready = [status["name"] for status in app if not status["ready"]]
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
