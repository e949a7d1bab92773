import pytest

from sampan.api import defaults
from sampan.api.resources import DEPLOYMENTS, resource

JOBS = resource("batch", "v1", "jobs")


def of(kind, spec, **metadata):
    obj = {"metadata": metadata, "spec": spec}
    defaults.apply(kind, obj)
    return obj


def test_deployment():
    found = of(DEPLOYMENTS, {"template": {"spec": {"containers": [{"name": "a", "image": "nginx"}]}}})["spec"]
    template = found.pop("template")
    assert found == {
        "replicas": 1,
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "25%", "maxSurge": "25%"}},
        "revisionHistoryLimit": 10,
        "progressDeadlineSeconds": 600,
    }
    assert template["spec"]["restartPolicy"] == "Always"
    # enableServiceLinks and requests from limits are Pods' alone
    assert "enableServiceLinks" not in template["spec"]


def test_zero_replicas_stay_zero_and_recreate_needs_no_rolling_update():
    found = of(DEPLOYMENTS, {"replicas": 0, "strategy": {"type": "Recreate"}})["spec"]
    assert found["replicas"] == 0
    assert found["strategy"] == {"type": "Recreate"}


@pytest.mark.parametrize(
    ("spec", "completions", "parallelism", "backoff", "replacement"),
    [
        ({}, 1, 1, 6, "TerminatingOrFailed"),
        ({"parallelism": 3}, None, 3, 6, "TerminatingOrFailed"),
        ({"completions": 3}, 3, 1, 6, "TerminatingOrFailed"),
        ({"backoffLimitPerIndex": 1}, 1, 1, 2**31 - 1, "TerminatingOrFailed"),
        ({"podFailurePolicy": {"rules": []}}, 1, 1, 6, "Failed"),
    ],
)
def test_job(spec, completions, parallelism, backoff, replacement):
    found = of(JOBS, spec)["spec"]
    assert found.get("completions") == completions
    assert found["parallelism"] == parallelism
    assert found["backoffLimit"] == backoff
    assert found["podReplacementPolicy"] == replacement


def test_a_job_finds_its_pods_by_its_uid():
    found = of(JOBS, {}, name="j", uid="u-1")["spec"]
    assert found["selector"] == {"matchLabels": {"batch.kubernetes.io/controller-uid": "u-1"}}
    assert found["template"]["metadata"]["labels"] == {
        "controller-uid": "u-1",
        "batch.kubernetes.io/controller-uid": "u-1",
        "job-name": "j",
        "batch.kubernetes.io/job-name": "j",
    }
