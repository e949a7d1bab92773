"""A container's status as the API shows it: waiting, running or terminated, with upstream's reasons. Pure.

Source: concepts/workloads/pods/pod-lifecycle, "Container states".
"""

from __future__ import annotations

from sampan.api.clock import format_time
from sampan.api.objects import Obj
from sampan.kubelet import termination
from sampan.kubelet.backoff import duration
from sampan.kubelet.containerview import (
    LABEL_IMAGE,
    LABEL_IMAGE_ID,
    LABEL_START_ERROR,
    ContainerView,
    Fault,
    Kind,
)
from sampan.kubelet.lifecycle import ContainerState
from sampan.kubelet.plan import BACKS_OFF, ERROR_SHOWN_S, restarts, retry_due_s
from sampan.kubelet.podview import PodView
from sampan.kubelet.runtime.contract import Record

SCHEME = "sampan://"
START_ERROR_CODE = 128
KILLED_CODE = 137


def container_status(
    view: PodView, container: ContainerView, now_s: float, message_bytes: int = termination.MESSAGE_LIMIT
) -> Obj:
    """One entry of the list of statuses that the container's kind has.

    `message_bytes`: how much of a termination message is shown.
    """
    if container.spent and container.lost is not None:
        return {**container.lost, "state": {"terminated": _lost_end(container.lost)}}
    waiting = _waiting(view, container, now_s)
    record, last = container.record, container.last
    if waiting is not None and container.exit is not None:
        # An attempt that is over and will be followed by another is what came last.
        last = record
    shown = record or last
    status: Obj = {
        "name": container.name,
        "state": {"waiting": waiting} if waiting else _state(view, container, message_bytes),
        "lastState": _last_state(container, last, message_bytes),
        "ready": _ready(container, waiting is None),
        "restartCount": container.restarts,
        "image": _image(container, shown),
        "imageID": shown.spec.labels.get(LABEL_IMAGE_ID, "") if shown else "",
    }
    if container.kind is not Kind.EPHEMERAL:
        status["started"] = container.started and "running" in status["state"]
    return status | _attempt(container, shown) | _given(container, shown)


def _state(view: PodView, container: ContainerView, message_bytes: int) -> Obj:
    record = container.record
    if record is None:
        return {"waiting": _creating(view, container)}
    if record.exit is None:
        return {"running": {"startedAt": format_time(record.started_at_s)}}
    return {"terminated": terminated(record, termination.cut(container.message, message_bytes))}


def _last_state(container: ContainerView, last: Record | None, message_bytes: int) -> Obj:
    if last is None:
        return {"terminated": _lost_end(container.lost)} if container.lost is not None else {}
    if last.exit is None:
        return {}
    message = container.message if last is container.record else container.last_message
    return {"terminated": terminated(last, termination.cut(message, message_bytes))}


def _attempt(container: ContainerView, shown: Record | None) -> Obj:
    """What the runtime calls it, and as whom it runs."""
    if shown is None:
        return {} if container.lost is None else {"containerID": container.lost["containerID"]}
    found: Obj = {"containerID": SCHEME + shown.spec.id}
    if (user := shown.user) is not None:
        groups = list(user.groups)
        found["user"] = {"linux": {"uid": user.uid, "gid": user.gid, "supplementalGroups": groups}}
    return found


def _given(container: ContainerView, shown: Record | None) -> Obj:
    """Its mounts and resources."""
    found: Obj = {}
    if mounts := container.spec.get("volumeMounts"):
        found["volumeMounts"] = [_mount(mount, shown) for mount in mounts]
    if resources := container.spec.get("resources"):
        found["resources"] = container.granted or resources
        if requests := resources.get("requests"):
            found["allocatedResources"] = requests
    return found


def terminated(record: Record, message: str) -> Obj:
    """A `ContainerStateTerminated`; `record.exit` must be known."""
    ended = record.exit
    assert ended is not None
    state: Obj = {
        "exitCode": ended.code,
        "reason": exit_reason(record),
        "startedAt": format_time(record.started_at_s or record.created_at_s),
        "finishedAt": format_time(ended.finished_at_s),
        "containerID": SCHEME + record.spec.id,
    }
    if message:
        state["message"] = message
    return state


def exit_reason(record: Record) -> str:
    ended = record.exit
    if ended is None:
        return ""
    if record.spec.labels.get(LABEL_START_ERROR):
        return "StartError"
    if ended.unknown:
        return "ContainerStatusUnknown"
    if ended.oom and ended.code != 0:
        # The kernel may have killed only a child, and the first process ended for that in its own way.
        return "OOMKilled"
    return "Completed" if ended.code == 0 else "Error"


def crash_message(view: PodView, container: ContainerView) -> str:
    wait = duration(container.backoff.delay_s)
    return f"back-off {wait} restarting failed container={container.name} pod={view.full_name}"


def pull_message(container: ContainerView) -> str:
    fault = container.pull_fault
    assert fault is not None
    return f'Back-off pulling image "{container.spec["image"]}": {fault.reason}: {fault.message}'


def _waiting(view: PodView, container: ContainerView, now_s: float) -> Obj | None:
    """The waiting state of a container that will be tried again, None where there is none."""
    if container.state is ContainerState.WAITING:
        if container.pull_fault is not None:
            return _pull_failed(container, container.pull_fault, now_s)
        if container.fault is not None:
            return {"reason": container.fault.reason, "message": container.fault.message}
        return None
    if container.state is ContainerState.RUNNING and container.warming:
        return _creating(view, container)
    if container.state is not ContainerState.EXITED or not restarts(view, container) or view.doomed:
        return None
    if container.pull_fault is not None:
        return _pull_failed(container, container.pull_fault, now_s)
    if retry_due_s(container) <= now_s:
        return None
    fault = container.fault
    if fault is not None and now_s < fault.at_s + ERROR_SHOWN_S:
        return {"reason": fault.reason, "message": fault.message}
    return {"reason": "CrashLoopBackOff", "message": crash_message(view, container)}


def _pull_failed(container: ContainerView, fault: Fault, now_s: float) -> Obj:
    if fault.reason != BACKS_OFF or now_s < fault.at_s + ERROR_SHOWN_S:
        return {"reason": fault.reason, "message": fault.message}
    return {"reason": "ImagePullBackOff", "message": pull_message(container)}


def _creating(view: PodView, container: ContainerView) -> Obj:
    waits = view.init and container.kind is not Kind.EPHEMERAL and not view.initialized
    return {"reason": "PodInitializing" if waits else "ContainerCreating"}


def _lost_end(reported: Obj) -> Obj:
    """What ran when it was last seen has ended since, nobody knows how."""
    ended: Obj | None = reported["state"].get("terminated")
    if "waiting" in reported["state"]:
        ended = (reported.get("lastState") or {}).get("terminated")
    return ended or {
        "exitCode": KILLED_CODE,
        "reason": "ContainerStatusUnknown",
        "message": "The container could not be located when the pod was terminated",
        "containerID": reported.get("containerID", ""),
    }


def _ready(container: ContainerView, settled: bool) -> bool:
    if container.kind is Kind.EPHEMERAL:
        return False
    if container.init and not container.sidecar:
        return container.succeeded
    running = container.state in (ContainerState.RUNNING, ContainerState.STOPPING)
    return settled and running and container.ready


def _image(container: ContainerView, shown: Record | None) -> str:
    if shown is not None and (image := shown.spec.labels.get(LABEL_IMAGE)):
        return image
    return container.spec.get("image", "")


def _mount(mount: Obj, record: Record | None) -> Obj:
    """`recursiveReadOnly` says what came of `IfPossible`."""
    entry: Obj = {"name": mount["name"], "mountPath": mount["mountPath"]}
    if mount.get("readOnly"):
        made = record.spec.mounts if record is not None else ()
        deep = any(m.recursive_read_only for m in made if m.target == mount["mountPath"])
        entry |= {"readOnly": True, "recursiveReadOnly": "Enabled" if deep else "Disabled"}
    return entry
