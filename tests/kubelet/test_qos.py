"""Limits as the kernel takes them."""

from __future__ import annotations

import pytest

from sampan.api.objects import Obj
from sampan.kubelet.qos import container_resources, oom_score, pod_cgroup, pod_resources, quota_us, shares

GIB = 1 << 30


def pod(resources: Obj, **spec: object) -> Obj:
    return {"metadata": {"uid": "u"}, "spec": {"containers": [{"name": "c", "resources": resources}], **spec}}


GUARANTEED = {"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "1", "memory": "1Gi"}}
BURSTABLE = {"requests": {"cpu": "100m", "memory": "1Gi"}, "limits": {"cpu": "500m"}}


@pytest.mark.parametrize(
    ("resources", "path", "score"),
    [
        (GUARANTEED, "/r/kubepods/podu", -997),
        (BURSTABLE, "/r/kubepods/burstable/podu", 750),
        ({}, "/r/kubepods/besteffort/podu", 1000),
    ],
)
def test_class(resources: Obj, path: str, score: int) -> None:
    found = pod(resources)
    assert pod_cgroup("/r", found) == path
    assert container_resources(found, found["spec"]["containers"][0], 4 * GIB).oom_score_adj == score


def test_burstable_scores_stay_between_the_classes() -> None:
    assert oom_score(pod(BURSTABLE), 1, 4 * GIB) == 999
    assert oom_score(pod(BURSTABLE), 8 * GIB, 4 * GIB) == 3
    assert oom_score(pod({}, priority=2_000_001_000), 0, GIB) == -997


def test_limits() -> None:
    found = container_resources(pod(BURSTABLE), {"resources": BURSTABLE}, 4 * GIB)
    assert (found.cpu_shares, found.cpu_quota_us, found.memory_bytes) == (102, 50_000, 0)
    limited = {"resources": {"limits": {"cpu": "2", "memory": "64Mi"}}}
    found = container_resources(pod(BURSTABLE), limited, 4 * GIB)
    assert (found.cpu_shares, found.cpu_quota_us, found.memory_bytes) == (2048, 200_000, 64 << 20)


def test_edges() -> None:
    assert (shares(0), shares(1), shares(10**6)) == (2, 2, 262_144)
    assert (quota_us(0), quota_us(1)) == (0, 1000)


def test_a_pod_weighs_what_its_containers_ask_for_together() -> None:
    both = pod(BURSTABLE)
    both["spec"]["containers"].append({"name": "d", "resources": {"limits": {"cpu": "1", "memory": "1Gi"}}})
    found = pod_resources(both)
    assert found.cpu_quota_us == 150_000
    assert found.memory_bytes == 0, "one container has no limit, so the Pod has none"
    assert pod_resources(pod(GUARANTEED)).memory_bytes == GIB
    assert (pod_resources(pod(BURSTABLE)).cpu_shares, pod_resources(pod({})).cpu_shares) == (102, 2)
