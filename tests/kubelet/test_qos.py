"""Limits as the kernel takes them."""

from __future__ import annotations

import pytest

from sampan.api.objects import Obj
from sampan.kubelet.qos import (
    container_resources,
    huge_pages,
    oom_score,
    pod_cgroup,
    pod_resources,
    quota_us,
    shares,
    tiers,
)

GIB = 1 << 30


def pod(of_container: Obj, /, **spec: object) -> Obj:
    return {
        "metadata": {"uid": "u"},
        "spec": {"containers": [{"name": "c", "resources": of_container}], **spec},
    }


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


def score_of(found: Obj, node_memory_bytes: int) -> int:
    return oom_score(found, found["spec"]["containers"][0], node_memory_bytes)


def asking(memory: str) -> Obj:
    return {"requests": {"memory": memory}}


def test_burstable_scores_stay_between_the_classes() -> None:
    assert score_of(pod(asking("1")), 4 * GIB) == 999
    assert score_of(pod(asking("8Gi")), 4 * GIB) == 3
    critical = {"priority": 2_000_001_000, "priorityClassName": "system-node-critical"}
    assert score_of(pod({}, **critical), GIB) == -997
    # A number alone does not protect from the kernel: the class does.
    assert score_of(pod({}, priority=2_000_000_000), GIB) == 1000


def test_a_sidecar_is_not_killed_before_what_it_serves() -> None:
    sidecar = {"name": "s", "restartPolicy": "Always"}
    found = pod(asking("1Gi"), initContainers=[sidecar])
    assert oom_score(found, sidecar, 4 * GIB) == score_of(found, 4 * GIB) == 750


def test_what_a_pod_asks_for_beyond_its_containers_counts_for_each() -> None:
    found = pod(asking("1Gi"), resources=asking("3Gi"))
    found["spec"]["containers"].append({"name": "d"})
    assert oom_score(found, found["spec"]["containers"][1], 4 * GIB) == 750
    assert score_of(found, 4 * GIB) == 500


def test_a_container_is_held_to_the_limit_of_its_pod() -> None:
    found = pod({}, resources={"limits": {"cpu": "1", "memory": "1Gi"}})
    given = container_resources(found, found["spec"]["containers"][0], 4 * GIB)
    assert (given.cpu_quota_us, given.memory_bytes) == (100_000, GIB)
    own = pod({"limits": {"memory": "1Mi"}}, resources={"limits": {"cpu": "1", "memory": "1Gi"}})
    assert container_resources(own, own["spec"]["containers"][0], 4 * GIB).memory_bytes == 1 << 20
    assert pod_resources(found).memory_bytes == GIB
    assert pod_resources(found, pids=7).pids == 7


def test_classes_weigh_what_their_pods_ask_for() -> None:
    found = tiers("/r", 200, {"cpu": 2000, "memory": GIB})
    assert {path: given.cpu_shares for path, given in found.items()} == {
        "/r/kubepods": 2048,
        "/r/kubepods/burstable": 204,
        "/r/kubepods/besteffort": 2,
    }
    assert [given.memory_bytes for given in found.values()] == [GIB, 0, 0]


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


def test_huge_pages_are_named_as_the_kernel_does() -> None:
    assert huge_pages({"hugepages-2Mi": 4 << 20, "hugepages-1Gi": 1 << 30, "cpu": 1}) == {
        "2MB": 4 << 20,
        "1GB": 1 << 30,
    }
