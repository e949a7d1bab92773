"""Rules of what makes Pods: groups apps and batch, and ReplicationControllers."""

from __future__ import annotations

from sampan.api import cron, intstr, selectors
from sampan.api.errors import FieldError, forbidden_value, invalid_value, required
from sampan.api.objects import Obj
from sampan.api.validation import labels, pod
from sampan.api.validation.check import (
    Errors,
    dicts,
    not_negative,
    one_of,
    one_of_if_set,
    unchanged,
    unsupported,
)

TEMPLATE = "spec.template"
ONLY_UPDATABLE = (
    "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', "
    "'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden"
)
STATEFUL_SET_UPDATABLE = frozenset(
    (
        "replicas",
        "ordinals",
        "template",
        "updateStrategy",
        "revisionHistoryLimit",
        "persistentVolumeClaimRetentionPolicy",
        "minReadySeconds",
    )
)


def _template(spec: Obj, kind: str) -> Errors:
    """The template, whose labels the selector must match; its Pods are there to stay."""
    template = spec.get("template") or {}
    yield from labels.matches_template(TEMPLATE, spec.get("selector"), template)
    yield from pod.template(TEMPLATE, template)
    pod_spec = template.get("spec") or {}
    policy = pod_spec.get("restartPolicy")
    if policy and policy != "Always":
        yield unsupported(f"{TEMPLATE}.spec.restartPolicy", policy, ("Always",))
    if pod_spec.get("activeDeadlineSeconds") is not None:
        sentence = f"activeDeadlineSeconds in {kind} is not Supported"
        yield forbidden_value(f"{TEMPLATE}.spec.activeDeadlineSeconds", sentence)


def _counts(path: str, holder: Obj, *fields: str) -> Errors:
    for field in fields:
        yield from not_negative(f"{path}.{field}", holder.get(field))


# --- Deployment ---------------------------------------------------------------------------------------------


def deployment(obj: Obj) -> Errors:
    spec = obj.get("spec") or {}
    yield from _counts("spec", spec, "replicas")
    yield from labels.needed_selector("spec.selector", spec.get("selector"), "deployment")
    yield from _template(spec, "ReplicaSet")
    yield from _strategy("spec.strategy", spec.get("strategy") or {})
    yield from _counts("spec", spec, "minReadySeconds", "revisionHistoryLimit", "progressDeadlineSeconds")
    deadline = spec.get("progressDeadlineSeconds")
    if deadline is not None and deadline <= (spec.get("minReadySeconds") or 0):
        at = "spec.progressDeadlineSeconds"
        yield invalid_value(at, deadline, "must be greater than minReadySeconds")


def deployment_update(new: Obj, old: Obj) -> Errors:
    yield from deployment(new)
    yield from _same_selector(new, old)


def _same_selector(new: Obj, old: Obj) -> Errors:
    now, was = (new.get("spec") or {}).get("selector"), (old.get("spec") or {}).get("selector")
    return unchanged("spec.selector", now, was)


def _strategy(path: str, strategy: Obj) -> Errors:
    kind, rolling = strategy.get("type"), strategy.get("rollingUpdate")
    at = f"{path}.rollingUpdate"
    if kind == "Recreate":
        if rolling is not None:
            yield forbidden_value(at, "may not be specified when strategy `type` is 'Recreate'")
    elif kind == "RollingUpdate":
        if rolling is None:
            yield required(at, "this should be defaulted and never be nil")
        else:
            yield from _rolling(at, rolling)
    else:
        yield unsupported(f"{path}.type", kind or "", ("Recreate", "RollingUpdate"))


def _rolling(path: str, rolling: Obj) -> Errors:
    unavailable, surge = rolling.get("maxUnavailable", 0), rolling.get("maxSurge", 0)
    yield from int_or_percent(f"{path}.maxUnavailable", unavailable)
    yield from int_or_percent(f"{path}.maxSurge", surge)
    if _amount(unavailable) == 0 and _amount(surge) == 0:
        yield invalid_value(f"{path}.maxUnavailable", unavailable, "may not be 0 when `maxSurge` is 0")
    yield from at_most_everything(f"{path}.maxUnavailable", unavailable)


def _amount(value: int | str) -> int:
    if isinstance(value, int):
        return value
    return intstr.percentage(value) or 0


def int_or_percent(path: str, value: int | str) -> Errors:
    if isinstance(value, int):
        yield from not_negative(path, value)
    elif intstr.percentage(value) is None:
        # The doubled sign is upstream's.
        yield invalid_value(path, value, "must be an integer or percentage (e.g '5%%')")


def at_most_everything(path: str, value: int | str) -> Errors:
    share = intstr.percentage(value)
    if share is not None and share > 100:
        yield invalid_value(path, value, "must not be greater than 100%")


def deployment_status(new: Obj, old: Obj) -> Errors:
    status = new.get("status") or {}
    fields = ("updatedReplicas", "readyReplicas", "availableReplicas")
    yield from _counts("status", status, "observedGeneration", "replicas", *fields, "unavailableReplicas")
    yield from _not_above("status", status, fields, "replicas", "cannot be greater than status.replicas")
    if (status.get("availableReplicas") or 0) > (status.get("readyReplicas") or 0):
        at, count = "status.availableReplicas", status.get("availableReplicas") or 0
        yield invalid_value(at, count, "cannot be greater than readyReplicas")
    collisions, before = status.get("collisionCount"), (old.get("status") or {}).get("collisionCount")
    if before is not None and (collisions or 0) < before:
        yield invalid_value("status.collisionCount", collisions, "cannot be decremented")


def _not_above(path: str, status: Obj, fields: tuple[str, ...], limit: str, sentence: str) -> Errors:
    for field in fields:
        if (status.get(field) or 0) > (status.get(limit) or 0):
            yield invalid_value(f"{path}.{field}", status.get(field) or 0, sentence)


# --- ReplicaSet, ReplicationController ----------------------------------------------------------------------


def replica_set(obj: Obj) -> Errors:
    spec = obj.get("spec") or {}
    yield from _counts("spec", spec, "replicas", "minReadySeconds")
    # Upstream says "deployment" here, too.
    yield from labels.needed_selector("spec.selector", spec.get("selector"), "deployment")
    yield from _template(spec, "ReplicaSet")


def replica_set_update(new: Obj, old: Obj) -> Errors:
    yield from replica_set(new)
    yield from _same_selector(new, old)


def replica_status(new: Obj, old: Obj) -> Errors:
    """Of a ReplicaSet or ReplicationController."""
    status = new.get("status") or {}
    fields = ("fullyLabeledReplicas", "readyReplicas", "availableReplicas")
    yield from _counts("status", status, "replicas", *fields, "observedGeneration")
    yield from _not_above("status", status, fields, "replicas", "cannot be greater than status.replicas")
    if (status.get("availableReplicas") or 0) > (status.get("readyReplicas") or 0):
        at, count = "status.availableReplicas", status.get("availableReplicas") or 0
        yield invalid_value(at, count, "cannot be greater than readyReplicas")


def replication_controller(obj: Obj) -> Errors:
    spec = obj.get("spec") or {}
    yield from _counts("spec", spec, "minReadySeconds")
    if not spec.get("selector"):
        yield required("spec.selector")
    yield from _counts("spec", spec, "replicas")
    template = spec.get("template")
    if template is None:
        yield required(TEMPLATE)
        return
    found = (template.get("metadata") or {}).get("labels") or {}
    if spec.get("selector") and not selectors.label_selector_of(spec["selector"]).matches(found):
        yield invalid_value(f"{TEMPLATE}.metadata.labels", found, labels.NO_MATCH)
    yield from pod.template(TEMPLATE, template)
    policy = (template.get("spec") or {}).get("restartPolicy")
    if policy and policy != "Always":
        yield unsupported(f"{TEMPLATE}.spec.restartPolicy", policy, ("Always",))


def replication_controller_update(new: Obj, old: Obj) -> Errors:
    return replication_controller(new)


# --- StatefulSet, DaemonSet ---------------------------------------------------------------------------------


def stateful_set(obj: Obj) -> Errors:
    spec = obj.get("spec") or {}
    yield from one_of(
        "spec.podManagementPolicy", spec.get("podManagementPolicy"), ("OrderedReady", "Parallel")
    )
    strategy = spec.get("updateStrategy") or {}
    yield from one_of("spec.updateStrategy.type", strategy.get("type"), ("RollingUpdate", "OnDelete"))
    rolling = strategy.get("rollingUpdate") or {}
    yield from _counts("spec.updateStrategy.rollingUpdate", rolling, "partition")
    if rolling.get("maxUnavailable") is not None:
        at = "spec.updateStrategy.rollingUpdate.maxUnavailable"
        yield from int_or_percent(at, rolling["maxUnavailable"])
        if _amount(rolling["maxUnavailable"]) == 0:
            yield invalid_value(at, rolling["maxUnavailable"], "cannot be 0")
        yield from at_most_everything(at, rolling["maxUnavailable"])
    retention = spec.get("persistentVolumeClaimRetentionPolicy") or {}
    for field in ("whenDeleted", "whenScaled"):
        at = f"spec.persistentVolumeClaimRetentionPolicy.{field}"
        yield from one_of_if_set(at, retention.get(field), ("Delete", "Retain"))
    yield from _counts("spec", spec, "replicas", "minReadySeconds", "revisionHistoryLimit")
    yield from _counts("spec.ordinals", spec.get("ordinals") or {}, "start")
    yield from labels.needed_selector("spec.selector", spec.get("selector"), "statefulset")
    yield from _template(_with_claims(spec), "StatefulSet")


def _with_claims(spec: Obj) -> Obj:
    """The spec as each Pod's will be: the claim made for it is a volume, in place of one of that name."""
    claimed = [
        {"name": name, "persistentVolumeClaim": {"claimName": name}}
        for _, claim in dicts(spec, "volumeClaimTemplates")
        if (name := (claim.get("metadata") or {}).get("name"))
    ]
    if not claimed:
        return spec
    template = spec.get("template") or {}
    pod_spec = template.get("spec") or {}
    names = {volume["name"] for volume in claimed}
    kept = [volume for _, volume in dicts(pod_spec, "volumes") if volume.get("name") not in names]
    return {**spec, "template": {**template, "spec": {**pod_spec, "volumes": [*kept, *claimed]}}}


def stateful_set_update(new: Obj, old: Obj) -> Errors:
    yield from stateful_set(new)
    now, was = new.get("spec") or {}, old.get("spec") or {}
    fixed = (set(now) | set(was)) - STATEFUL_SET_UPDATABLE
    if any((now.get(field) or None) != (was.get(field) or None) for field in fixed):
        yield forbidden_value("spec", ONLY_UPDATABLE)


def daemon_set(obj: Obj) -> Errors:
    spec = obj.get("spec") or {}
    if spec.get("selector") is not None:  # one that is missing is told of at the template's labels alone
        yield from labels.needed_selector("spec.selector", spec["selector"], "daemonset")
    yield from _template(spec, "DaemonSet")
    yield from _counts("spec", spec, "minReadySeconds", "revisionHistoryLimit")
    strategy = spec.get("updateStrategy") or {}
    at = "spec.updateStrategy"
    if strategy.get("type") == "RollingUpdate":
        rolling = strategy.get("rollingUpdate")
        if rolling is None:
            yield required(f"{at}.rollingUpdate")
        else:
            yield from _rolling_daemon(f"{at}.rollingUpdate", rolling)
    elif strategy.get("type") != "OnDelete":
        yield unsupported(f"{at}.type", strategy.get("type") or "", ("RollingUpdate", "OnDelete"))


def _rolling_daemon(path: str, rolling: Obj) -> Errors:
    unavailable, surge = rolling.get("maxUnavailable", 0), rolling.get("maxSurge", 0)
    yield from int_or_percent(f"{path}.maxUnavailable", unavailable)
    yield from at_most_everything(f"{path}.maxUnavailable", unavailable)
    yield from int_or_percent(f"{path}.maxSurge", surge)
    yield from at_most_everything(f"{path}.maxSurge", surge)
    if _amount(unavailable) and _amount(surge):
        yield invalid_value(f"{path}.maxSurge", surge, "may not be set when maxUnavailable is non-zero")
    elif not _amount(unavailable) and not _amount(surge):
        yield required(f"{path}.maxUnavailable", "cannot be 0 when maxSurge is 0")


def daemon_set_update(new: Obj, old: Obj) -> Errors:
    yield from daemon_set(new)
    yield from _same_selector(new, old)


# --- Job, CronJob -------------------------------------------------------------------------------------------


def job(obj: Obj) -> Errors:
    spec = obj.get("spec") or {}
    yield from job_spec("spec", spec)
    if spec.get("selector") is None:
        yield required("spec.selector")
    else:
        yield from labels.selector("spec.selector", spec["selector"])
        yield from labels.matches_template(TEMPLATE, spec["selector"], spec.get("template") or {})


def job_spec(path: str, spec: Obj) -> Errors:
    counts = (
        "parallelism",
        "completions",
        "activeDeadlineSeconds",
        "backoffLimit",
        "ttlSecondsAfterFinished",
        "backoffLimitPerIndex",
        "maxFailedIndexes",
    )
    yield from _counts(path, spec, *counts)
    mode = spec.get("completionMode")
    yield from one_of_if_set(f"{path}.completionMode", mode, ("Indexed", "NonIndexed"))
    if mode == "Indexed" and spec.get("completions") is None:
        yield required(f"{path}.completions", "when completion mode is Indexed")
    template = spec.get("template") or {}
    yield from pod.template(f"{path}.template", template)
    policy = (template.get("spec") or {}).get("restartPolicy")
    if policy == "Always":
        # Pod templates say Always when they say nothing, and a Job's Pods must end.
        detail = 'supported values: "OnFailure", "Never"'
        message = f'Unsupported value: "Always": {detail}'
        yield FieldError(f"{path}.template.spec.restartPolicy", "FieldValueNotSupported", message)


def job_update(new: Obj, old: Obj) -> Errors:
    yield from job(new)
    now, was = new.get("spec") or {}, old.get("spec") or {}
    yield from unchanged("spec.selector", now.get("selector"), was.get("selector"))
    if not was.get("suspend"):
        yield from unchanged(TEMPLATE, now.get("template"), was.get("template"))
    for field in ("completionMode", "podFailurePolicy", "backoffLimitPerIndex", "managedBy", "successPolicy"):
        yield from unchanged(f"spec.{field}", now.get(field), was.get(field))
    if now.get("completionMode") != "Indexed":
        yield from unchanged("spec.completions", now.get("completions"), was.get("completions"))


def cron_job(obj: Obj) -> Errors:
    spec = obj.get("spec") or {}
    yield from _schedule(spec.get("schedule"), spec.get("timeZone"))
    yield from _counts("spec", spec, "startingDeadlineSeconds")
    policy = spec.get("concurrencyPolicy")
    yield from one_of("spec.concurrencyPolicy", policy, ("Allow", "Forbid", "Replace"))
    yield from _counts("spec", spec, "successfulJobsHistoryLimit", "failedJobsHistoryLimit")
    yield from job_spec("spec.jobTemplate.spec", (spec.get("jobTemplate") or {}).get("spec") or {})


def _schedule(schedule: str | None, zone: str | None) -> Errors:
    if not schedule:
        yield required("spec.schedule")
    elif "TZ" in schedule:
        sentence = "cannot use TZ or CRON_TZ in schedule, use timeZone field instead"
        yield invalid_value("spec.schedule", schedule, sentence)
    else:
        try:
            cron.check(schedule)
        except cron.BadSchedule as error:
            yield invalid_value("spec.schedule", schedule, str(error))
    if zone == "":
        yield invalid_value("spec.timeZone", zone, "timeZone must be nil or non-empty string")
    elif zone is not None and zone.lower() == "local":
        sentence = "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones"
        yield invalid_value("spec.timeZone", zone, sentence)


def cron_job_update(new: Obj, old: Obj) -> Errors:
    return cron_job(new)


def stateful_set_status(new: Obj, old: Obj) -> Errors:
    status = new.get("status") or {}
    fields = ("readyReplicas", "currentReplicas", "updatedReplicas", "availableReplicas")
    yield from _counts("status", status, "replicas", *fields, "observedGeneration", "collisionCount")
    yield from _not_above("status", status, fields, "replicas", "cannot be greater than status.replicas")
