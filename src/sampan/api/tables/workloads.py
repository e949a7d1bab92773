"""Printers of what makes Pods: groups apps, batch, autoscaling, policy, and ReplicationControllers."""

from __future__ import annotations

from typing import Any

from sampan.api.clock import parse_time
from sampan.api.objects import Obj, condition_is_true, controller_of, is_deleting
from sampan.api.tables import duration
from sampan.api.tables.column import (
    AGE,
    NAME,
    NONE,
    UNSET,
    Printer,
    age_of,
    at,
    boolean,
    containers,
    find,
    first_few,
    integer,
    labels,
    printer,
    selector,
    size,
    text,
    wide,
)

TEMPLATE = "spec.template.spec"


def _ready(obj: Obj, now: float) -> str:
    return f"{find(obj, 'status.readyReplicas') or 0}/{find(obj, 'spec.replicas') or 0}"


def _replica_set(selector_cell: Any) -> Printer:
    return printer(
        NAME,
        integer("Desired", at("spec.replicas", 0)),
        integer("Current", at("status.replicas", 0)),
        integer("Ready", at("status.readyReplicas", 0)),
        AGE,
        *containers(TEMPLATE),
        wide("Selector", selector_cell),
    )


def _controller(obj: Obj, now: float) -> str:
    owner = controller_of(obj)
    if owner is None:
        return NONE
    group = owner.get("apiVersion", "").rpartition("/")[0]
    kind, name = owner.get("kind", "").lower(), owner.get("name", "")
    return f"{kind}.{group}/{name}" if group else f"{kind}/{name}"


# The first true condition names the state; being deleted stands between the ends and what may still change.
_JOB_ENDS = (("Complete", "Complete"), ("Failed", "Failed"))
_JOB_STATES = (
    ("Suspended", "Suspended"),
    ("FailureTarget", "FailureTarget"),
    ("SuccessCriteriaMet", "SuccessCriteriaMet"),
)


def _job_status(obj: Obj, now: float) -> str:
    for kind, status in _JOB_ENDS:
        if condition_is_true(obj, kind):
            return status
    if is_deleting(obj):
        return "Terminating"
    return next((status for kind, status in _JOB_STATES if condition_is_true(obj, kind)), "Running")


def _completions(obj: Obj, now: float) -> str:
    succeeded = find(obj, "status.succeeded") or 0
    completions, parallelism = find(obj, "spec.completions"), find(obj, "spec.parallelism") or 0
    if completions is not None:
        return f"{succeeded}/{completions}"
    return f"{succeeded}/1 of {parallelism}" if parallelism > 1 else f"{succeeded}/1"


def _job_duration(obj: Obj, now: float) -> str:
    start, end = find(obj, "status.startTime"), find(obj, "status.completionTime")
    if not start:
        return ""
    return duration.human(parse_time(end) - parse_time(start)) if end else duration.since(start, now)


def _targets(obj: Obj, now: float) -> str:
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    if "targetCPUUtilizationPercentage" in spec:  # autoscaling/v1
        current = status.get("currentCPUUtilizationPercentage")
        shown = "<unknown>" if current is None else f"{current}%"
        return f"cpu: {shown}/{spec['targetCPUUtilizationPercentage']}%"
    metrics, found = spec.get("metrics") or (), status.get("currentMetrics") or ()
    if not metrics:
        return NONE
    shown_all = [_target(metric, found[i] if i < len(found) else {}) for i, metric in enumerate(metrics)]
    return first_few(shown_all, 2, ", ")


# metric type -> the key its source stands under
_SOURCES = {
    "Resource": "resource",
    "ContainerResource": "containerResource",
    "Pods": "pods",
    "Object": "object",
    "External": "external",
}


def _target(metric: Obj, found: Obj) -> str:
    key = _SOURCES.get(metric.get("type", ""))
    if key is None:
        return "<unknown type>"
    source = metric.get(key) or {}
    target, current = source.get("target") or {}, (found.get(key) or {}).get("current") or {}
    named = f"{source.get('name', '')}: " if key in ("resource", "containerResource") else ""
    if target.get("averageUtilization") is not None:
        used = current.get("averageUtilization")
        return f"{named}{'<unknown>' if used is None else f'{used}%'}/{target['averageUtilization']}%"
    if target.get("averageValue") is not None:
        average = " (avg)" if key in ("object", "external") else ""
        return f"{named}{current.get('averageValue', '<unknown>')}/{target['averageValue']}{average}"
    return f"{named}{current.get('value', '<unknown>')}/{target.get('value', '<auto>')}"


def _scale_target(obj: Obj, now: float) -> str:
    return f"{find(obj, 'spec.scaleTargetRef.kind') or ''}/{find(obj, 'spec.scaleTargetRef.name') or ''}"


def _as_text(path: str, missing: str) -> Any:
    read = at(path, missing)
    return lambda obj, now: str(read(obj, now))


def _title(path: str) -> Any:
    return lambda obj, now: "True" if find(obj, path) else "False"


PRINTERS: dict[tuple[str, str], Printer] = {
    ("", "replicationcontrollers"): _replica_set(labels("spec.selector")),
    ("", "podtemplates"): printer(
        NAME,
        text("Containers", containers("template.spec")[0][1]),
        text("Images", containers("template.spec")[1][1]),
        text("Pod Labels", labels("template.metadata.labels")),
    ),
    ("apps", "replicasets"): _replica_set(selector("spec.selector")),
    ("apps", "deployments"): printer(
        NAME,
        text("Ready", _ready),
        text("Up-to-date", at("status.updatedReplicas", 0)),
        text("Available", at("status.availableReplicas", 0)),
        AGE,
        *containers(TEMPLATE),
        wide("Selector", selector("spec.selector")),
    ),
    ("apps", "statefulsets"): printer(NAME, text("Ready", _ready), AGE, *containers(TEMPLATE)),
    ("apps", "daemonsets"): printer(
        NAME,
        integer("Desired", at("status.desiredNumberScheduled", 0)),
        integer("Current", at("status.currentNumberScheduled", 0)),
        integer("Ready", at("status.numberReady", 0)),
        integer("Up-to-date", at("status.updatedNumberScheduled", 0)),
        integer("Available", at("status.numberAvailable", 0)),
        text("Node Selector", labels(f"{TEMPLATE}.nodeSelector")),
        AGE,
        *containers(TEMPLATE),
        wide("Selector", selector("spec.selector")),
    ),
    ("apps", "controllerrevisions"): printer(
        NAME, text("Controller", _controller), text("Revision", at("revision", 0)), AGE
    ),
    ("batch", "jobs"): printer(
        NAME,
        text("Status", _job_status),
        text("Completions", _completions),
        text("Duration", _job_duration),
        AGE,
        *containers(TEMPLATE),
        wide("Selector", selector("spec.selector")),
    ),
    ("batch", "cronjobs"): printer(
        NAME,
        text("Schedule", at("spec.schedule")),
        text("Timezone", at("spec.timeZone", NONE)),
        boolean("Suspend", _title("spec.suspend")),
        integer("Active", size("status.active")),
        text("Last Schedule", age_of("status.lastScheduleTime", NONE)),
        AGE,
        *containers("spec.jobTemplate.spec.template.spec"),
        wide("Selector", selector("spec.jobTemplate.spec.selector")),
    ),
    ("autoscaling", "horizontalpodautoscalers"): printer(
        NAME,
        text("Reference", _scale_target),
        text("Targets", _targets),
        text("MinPods", _as_text("spec.minReplicas", UNSET)),
        text("MaxPods", at("spec.maxReplicas", 0)),
        text("Replicas", at("status.currentReplicas", 0)),
        AGE,
    ),
    ("autoscaling", "scale"): printer(
        NAME,
        integer("Desired", at("spec.replicas", 0)),
        integer("Available", at("status.replicas", 0)),
        AGE,
    ),
    ("policy", "poddisruptionbudgets"): printer(
        NAME,
        text("Min Available", _as_text("spec.minAvailable", "N/A")),
        text("Max Unavailable", _as_text("spec.maxUnavailable", "N/A")),
        integer("Allowed Disruptions", at("status.disruptionsAllowed", 0)),
        AGE,
    ),
}
