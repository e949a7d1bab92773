"""Defaults of what makes Pods: groups apps and batch."""

from __future__ import annotations

from sampan.api.defaults.core import labels_from_template
from sampan.api.defaults.fill import entries, fill, fill_blank, section
from sampan.api.defaults.pod import template
from sampan.api.defaults.volume import claim
from sampan.api.objects import Obj

HISTORY_LIMIT = 10
PROGRESS_DEADLINE_S = 600
BACKOFF_LIMIT = 6
NO_LIMIT = 2**31 - 1
TEMPLATE_GENERATION = "deprecated.daemonset.template.generation"


def deployment(obj: Obj) -> None:
    spec = section(obj, "spec")
    fill(spec, "replicas", 1)
    strategy = section(spec, "strategy")
    fill_blank(strategy, "type", "RollingUpdate")
    if strategy["type"] == "RollingUpdate":
        rolling = section(strategy, "rollingUpdate")
        fill(rolling, "maxUnavailable", "25%")
        fill(rolling, "maxSurge", "25%")
    fill(spec, "revisionHistoryLimit", HISTORY_LIMIT)
    fill(spec, "progressDeadlineSeconds", PROGRESS_DEADLINE_S)
    template(section(spec, "template"))
    section(obj, "status")


def replica_set(obj: Obj) -> None:
    spec = section(obj, "spec")
    fill(spec, "replicas", 1)
    template(section(spec, "template"))
    fill(section(obj, "status"), "replicas", 0)


def stateful_set(obj: Obj) -> None:
    spec = section(obj, "spec")
    fill(spec, "replicas", 1)
    fill_blank(spec, "podManagementPolicy", "OrderedReady")
    strategy = section(spec, "updateStrategy")
    fill_blank(strategy, "type", "RollingUpdate")
    if strategy["type"] == "RollingUpdate":
        fill(section(strategy, "rollingUpdate"), "partition", 0)
    fill(spec, "revisionHistoryLimit", HISTORY_LIMIT)
    retention = section(spec, "persistentVolumeClaimRetentionPolicy")
    fill_blank(retention, "whenDeleted", "Retain")
    fill_blank(retention, "whenScaled", "Retain")
    for volume_claim in entries(spec, "volumeClaimTemplates"):
        fill_blank(volume_claim, "apiVersion", "v1")
        fill_blank(volume_claim, "kind", "PersistentVolumeClaim")
        claim(volume_claim)
    template(section(spec, "template"))
    fill(section(obj, "status"), "replicas", 0)


def daemon_set(obj: Obj) -> None:
    spec = section(obj, "spec")
    strategy = section(spec, "updateStrategy")
    fill_blank(strategy, "type", "RollingUpdate")
    if strategy["type"] == "RollingUpdate":
        rolling = section(strategy, "rollingUpdate")
        fill(rolling, "maxUnavailable", 1)
        fill(rolling, "maxSurge", 0)
    fill(spec, "revisionHistoryLimit", HISTORY_LIMIT)
    fill(section(section(obj, "metadata"), "annotations"), TEMPLATE_GENERATION, "1")
    template(section(spec, "template"))
    status = section(obj, "status")
    for count in ("currentNumberScheduled", "numberMisscheduled", "desiredNumberScheduled", "numberReady"):
        fill(status, count, 0)


def job(obj: Obj) -> None:
    spec = section(obj, "spec")
    job_spec(spec)
    section(obj, "status")
    pods = section(spec, "template")
    uid = (obj.get("metadata") or {}).get("uid")
    if uid and not spec.get("manualSelector") and not spec.get("selector"):
        _own_pods(obj, spec, pods, uid)
    labels = (pods.get("metadata") or {}).get("labels")
    if labels:
        labels_from_template(obj, labels)


def _own_pods(obj: Obj, spec: Obj, pods: Obj, uid: str) -> None:
    """A Job finds its Pods by its own uid, so that two Jobs never share one."""
    labels = section(section(pods, "metadata"), "labels")
    for key, value in (("controller-uid", uid), ("job-name", obj["metadata"].get("name", ""))):
        labels[key] = labels[f"batch.kubernetes.io/{key}"] = value
    spec["selector"] = {"matchLabels": {"batch.kubernetes.io/controller-uid": uid}}


def job_spec(spec: Obj) -> None:
    if spec.get("completions") is None and spec.get("parallelism") is None:
        spec["completions"] = 1
    fill(spec, "parallelism", 1)
    per_index = spec.get("backoffLimitPerIndex") is not None
    fill(spec, "backoffLimit", NO_LIMIT if per_index else BACKOFF_LIMIT)
    fill_blank(spec, "completionMode", "NonIndexed")
    fill(spec, "suspend", False)
    policy = spec.get("podFailurePolicy")
    fill_blank(spec, "podReplacementPolicy", "TerminatingOrFailed" if policy is None else "Failed")
    for rule in entries(policy or {}, "rules"):
        for condition in entries(rule, "onPodConditions"):
            fill_blank(condition, "status", "True")
    template(section(spec, "template"))


def cron_job(obj: Obj) -> None:
    spec = section(obj, "spec")
    fill_blank(spec, "concurrencyPolicy", "Allow")
    fill(spec, "suspend", False)
    fill(spec, "successfulJobsHistoryLimit", 3)
    fill(spec, "failedJobsHistoryLimit", 1)
    template(section(section(section(spec, "jobTemplate"), "spec"), "template"))
    section(obj, "status")
