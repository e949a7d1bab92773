"""The row of a Pod, whose Status column sums up phase, reasons and container states in one word."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sampan.api import podspec
from sampan.api.objects import Obj, condition_is_true, condition_of, is_deleting
from sampan.api.tables import duration
from sampan.api.tables.column import NONE, Column, Printer

COLUMNS = (
    Column("Name", format="name"),
    Column("Ready"),
    Column("Status"),
    Column("Restarts"),
    Column("Age"),
    Column("IP", wide=True),
    Column("Node", wide=True),
    Column("Nominated Node", wide=True),
    Column("Readiness Gates", wide=True),
)

# Rows of ended Pods say so, and kubectl can leave them out.
_ENDED = {"Succeeded": "The pod has completed successfully.", "Failed": "The pod failed."}


@dataclass(slots=True)
class Summary:
    """What the containers of a Pod come to."""

    status: str
    ready: int = 0
    total: int = 0
    restarts: int = 0
    last_restart: str = ""

    def count(self, container: Obj) -> None:
        self.restarts += container.get("restartCount") or 0
        ended = ((container.get("lastState") or {}).get("terminated") or {}).get("finishedAt") or ""
        # RFC 3339 in UTC sorts as text.
        self.last_restart = max(self.last_restart, ended)


def cells(pod: Obj, now: float) -> list[Any]:
    summary = summarize(pod)
    status, spec = pod.get("status") or {}, pod.get("spec") or {}
    restarts = str(summary.restarts)
    if summary.restarts and summary.last_restart:
        restarts = f"{restarts} ({duration.since(summary.last_restart, now)} ago)"
    metadata = pod["metadata"]
    return [
        metadata.get("name", ""),
        f"{summary.ready}/{summary.total}",
        summary.status,
        restarts,
        duration.since(metadata.get("creationTimestamp"), now),
        next(iter(podspec.pod_ips(pod)), NONE),
        spec.get("nodeName") or NONE,
        status.get("nominatedNodeName") or NONE,
        _readiness_gates(pod, spec),
    ]


def conditions(pod: Obj) -> list[Obj]:
    """`conditions` of the row: what has ended is `Completed`."""
    phase = podspec.phase(pod)
    if phase not in _ENDED:
        return []
    return [{"type": "Completed", "status": "True", "reason": phase, "message": _ENDED[phase]}]


def summarize(pod: Obj) -> Summary:
    """Status, ready count and restarts, as `kubectl get pods` shows them."""
    status, spec = pod.get("status") or {}, pod.get("spec") or {}
    summary = Summary(status.get("reason") or status.get("phase") or "")
    scheduled = condition_of(pod, "PodScheduled")
    if scheduled and scheduled.get("reason") == "SchedulingGated":
        summary.status = "SchedulingGated"
    init_specs = {c.get("name"): c for c in spec.get("initContainers") or ()}
    sidecars = {name for name, container in init_specs.items() if podspec.is_sidecar(container)}
    summary.total = len(spec.get("containers") or ()) + len(sidecars)

    beside = Summary("")
    initializing = False
    for index, container in enumerate(status.get("initContainerStatuses") or ()):
        summary.count(container)
        sidecar = container.get("name") in sidecars
        if sidecar:
            beside.count(container)
        if _ended_well(container):
            continue
        if sidecar and container.get("started"):
            summary.ready += bool(container.get("ready"))
            continue
        summary.status = _init_status(container, index, len(init_specs))
        initializing = True
        break

    if not initializing or condition_is_true(pod, "Initialized"):
        summary.restarts, summary.last_restart = beside.restarts, beside.last_restart
        _main_containers(pod, status, summary)
    if is_deleting(pod):
        if status.get("reason") == "NodeLost":
            summary.status = "Unknown"
        elif not podspec.is_terminal(pod):
            summary.status = "Terminating"
    return summary


def _ended_well(container: Obj) -> bool:
    ended = (container.get("state") or {}).get("terminated")
    return ended is not None and not ended.get("exitCode")


def _init_status(container: Obj, index: int, total: int) -> str:
    state = container.get("state") or {}
    ended = state.get("terminated")
    if ended is not None:
        return f"Init:{_ended_reason(ended)}"
    waiting = (state.get("waiting") or {}).get("reason")
    if waiting and waiting != "PodInitializing":
        return f"Init:{waiting}"
    return f"Init:{index}/{total}"


def _main_containers(pod: Obj, status: Obj, summary: Summary) -> None:
    running = False
    for container in reversed(status.get("containerStatuses") or ()):
        summary.count(container)
        state = container.get("state") or {}
        waiting, ended = (state.get("waiting") or {}).get("reason"), state.get("terminated")
        if waiting:
            summary.status = waiting
        elif ended is not None:
            summary.status = _ended_reason(ended)
        elif container.get("ready") and state.get("running") is not None:
            running = True
            summary.ready += 1
    if summary.status == "Completed" and running:
        summary.status = "Running" if podspec.is_ready(pod) else "NotReady"


def _ended_reason(ended: Obj) -> str:
    if ended.get("reason"):
        return ended["reason"]
    if ended.get("signal"):
        return f"Signal:{ended['signal']}"
    return f"ExitCode:{ended.get('exitCode', 0)}"


def _readiness_gates(pod: Obj, spec: Obj) -> str:
    gates = spec.get("readinessGates") or ()
    if not gates:
        return NONE
    true = sum(condition_is_true(pod, gate.get("conditionType", "")) for gate in gates)
    return f"{true}/{len(gates)}"


PRINTER = Printer(COLUMNS, cells)
