import copy

import pytest

from sampan.api import defaults, validation
from sampan.api.resources import DEPLOYMENTS, REPLICA_SETS, resource

JOBS = resource("batch", "v1", "jobs")
CRON_JOBS = resource("batch", "v1", "cronjobs")
STATEFUL_SETS = resource("apps", "v1", "statefulsets")
DAEMON_SETS = resource("apps", "v1", "daemonsets")


def texts(errors):
    return [error.text for error in errors]


def template(labels=None, **spec):
    containers = [{"name": "a", "image": "nginx"}]
    return {"metadata": {"labels": labels or {"app": "web"}}, "spec": {"containers": containers, **spec}}


def workload(kind, **spec):
    base = {"selector": {"matchLabels": {"app": "web"}}, "template": template()}
    obj = {"metadata": {"name": "web", "namespace": "default"}, "spec": copy.deepcopy({**base, **spec})}
    defaults.apply(kind, obj)
    return obj


@pytest.mark.parametrize(
    ("spec", "found"),
    [
        ({}, []),
        ({"replicas": -1}, ["spec.replicas: Invalid value: -1: must be greater than or equal to 0"]),
        (
            {"selector": None},
            [
                "spec.selector: Required value",
                'spec.template.metadata.labels: Invalid value: {"app":"web"}: '
                "`selector` does not match template `labels`",
            ],
        ),
        ({"selector": {}}, ["spec.selector: Invalid value: {}: empty selector is invalid for deployment"]),
        (
            {"template": template({"app": "db"})},
            [
                'spec.template.metadata.labels: Invalid value: {"app":"db"}: '
                "`selector` does not match template `labels`"
            ],
        ),
        (
            {"template": template(restartPolicy="Never")},
            ['spec.template.spec.restartPolicy: Unsupported value: "Never": supported values: "Always"'],
        ),
        (
            {"template": template(activeDeadlineSeconds=5)},
            [
                "spec.template.spec.activeDeadlineSeconds: Forbidden: "
                "activeDeadlineSeconds in ReplicaSet is not Supported"
            ],
        ),
        (
            {"template": template(volumes=[{"name": "A"}])},
            [
                'spec.template.spec.volumes[0].name: Invalid value: "A": a lowercase RFC 1123 label must '
                "consist of lower case alphanumeric characters or '-', and must start and end with an "
                "alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is "
                "'[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
            ],
        ),
        (
            {"strategy": {"type": "Recreate", "rollingUpdate": {}}},
            [
                "spec.strategy.rollingUpdate: Forbidden: "
                "may not be specified when strategy `type` is 'Recreate'"
            ],
        ),
        (
            {"strategy": {"type": "Sudden"}},
            [
                'spec.strategy.type: Unsupported value: "Sudden": '
                'supported values: "Recreate", "RollingUpdate"'
            ],
        ),
        (
            {"strategy": {"rollingUpdate": {"maxSurge": 0, "maxUnavailable": "0%"}}},
            [
                'spec.strategy.rollingUpdate.maxUnavailable: Invalid value: "0%": '
                "may not be 0 when `maxSurge` is 0"
            ],
        ),
        (
            {"strategy": {"rollingUpdate": {"maxSurge": "a lot", "maxUnavailable": "101%"}}},
            [
                'spec.strategy.rollingUpdate.maxSurge: Invalid value: "a lot": '
                "must be an integer or percentage (e.g '5%%')",
                'spec.strategy.rollingUpdate.maxUnavailable: Invalid value: "101%": '
                "must not be greater than 100%",
            ],
        ),
        (
            {"progressDeadlineSeconds": 5, "minReadySeconds": 5},
            ["spec.progressDeadlineSeconds: Invalid value: 5: must be greater than minReadySeconds"],
        ),
    ],
)
def test_deployments(spec, found):
    assert texts(validation.create(DEPLOYMENTS, workload(DEPLOYMENTS, **spec))) == found


@pytest.mark.parametrize("kind", [DEPLOYMENTS, REPLICA_SETS, DAEMON_SETS], ids=lambda kind: kind.plural)
def test_the_selector_of_a_workload_does_not_change(kind):
    new = workload(kind, selector={"matchLabels": {"app": "db"}}, template=template({"app": "db"}))
    assert texts(validation.update(kind, new, workload(kind))) == [
        'spec.selector: Invalid value: {"matchLabels":{"app":"db"}}: field is immutable'
    ]


def test_replicas_and_template_of_a_deployment_do():
    new = workload(DEPLOYMENTS, replicas=5, template=template({"app": "web", "v": "2"}))
    assert validation.update(DEPLOYMENTS, new, workload(DEPLOYMENTS)) == []


def test_a_stateful_set_keeps_its_service_name():
    old = workload(STATEFUL_SETS, serviceName="web")
    assert validation.create(STATEFUL_SETS, old) == []
    assert validation.update(STATEFUL_SETS, workload(STATEFUL_SETS, serviceName="web", replicas=3), old) == []
    (found,) = texts(validation.update(STATEFUL_SETS, workload(STATEFUL_SETS, serviceName="db"), old))
    assert found.startswith("spec: Forbidden: updates to statefulset spec for fields other than 'replicas'")


def test_containers_of_a_stateful_set_mount_what_is_claimed_for_them():
    asked = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    mounting = template()
    mounting["spec"]["containers"][0]["volumeMounts"] = [{"name": "data", "mountPath": "/data"}]
    claims = [{"metadata": {"name": "data"}, "spec": asked}]
    spec = {"serviceName": "db", "template": mounting}
    assert (
        validation.create(STATEFUL_SETS, workload(STATEFUL_SETS, volumeClaimTemplates=claims, **spec)) == []
    )
    (found,) = texts(validation.create(STATEFUL_SETS, workload(STATEFUL_SETS, **spec)))
    assert found == 'spec.template.spec.containers[0].volumeMounts[0].name: Not found: "data"'


def test_a_daemon_set_without_a_selector_is_told_of_at_its_labels_alone():
    found = texts(validation.create(DAEMON_SETS, workload(DAEMON_SETS, selector=None)))
    at = "spec.template.metadata.labels"
    assert found == [f'{at}: Invalid value: {{"app":"web"}}: `selector` does not match template `labels`']


def test_labels_that_are_not_there_match_nothing():
    spec = workload(DEPLOYMENTS)
    del spec["spec"]["template"]["metadata"]
    found = texts(validation.create(DEPLOYMENTS, spec))
    assert found == [
        "spec.template.metadata.labels: Invalid value: null: `selector` does not match template `labels`"
    ]


def test_jobs_must_end():
    (found,) = texts(validation.create(JOBS, workload(JOBS)))
    assert found == (
        'spec.template.spec.restartPolicy: Unsupported value: "Always": '
        'supported values: "OnFailure", "Never"'
    )
    assert validation.create(JOBS, workload(JOBS, template=template(restartPolicy="Never"))) == []


def test_cron_jobs():
    job = {"spec": {"template": template(restartPolicy="OnFailure")}}
    good = {
        "metadata": {"name": "a", "namespace": "b"},
        "spec": {"schedule": "* * * * *", "jobTemplate": job},
    }
    defaults.apply(CRON_JOBS, good)
    assert validation.create(CRON_JOBS, good) == []
    good["spec"]["schedule"] = "* * *"
    found = ['spec.schedule: Invalid value: "* * *": expected exactly 5 fields, found 3: [* * *]']
    assert texts(validation.create(CRON_JOBS, good)) == found
    good["spec"] |= {"schedule": "TZ=UTC 0 * * * *", "timeZone": "Local"}
    assert texts(validation.create(CRON_JOBS, good)) == [
        'spec.schedule: Invalid value: "TZ=UTC 0 * * * *": '
        "cannot use TZ or CRON_TZ in schedule, use timeZone field instead",
        'spec.timeZone: Invalid value: "Local": '
        "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones",
    ]


def test_status_counts_add_up():
    new = {**workload(REPLICA_SETS), "status": {"replicas": 1, "readyReplicas": 2, "availableReplicas": -1}}
    assert texts(validation.update_status(REPLICA_SETS, new, workload(REPLICA_SETS))) == [
        "status.availableReplicas: Invalid value: -1: must be greater than or equal to 0",
        "status.readyReplicas: Invalid value: 2: cannot be greater than status.replicas",
    ]
