"""Requests and limits as the kernel takes them: cgroup paths, shares, quotas, OOM scores. Pure.

Sources: concepts/configuration/manage-resources-containers and concepts/scheduling-eviction/
node-pressure-eviction, "Node out of memory behavior".
"""

from __future__ import annotations

from sampan.api import podspec
from sampan.api.objects import Obj, uid_of
from sampan.kubelet.runtime.contract import Resources

PERIOD_US = 100_000
LEAST_QUOTA_US = 1000
LEAST_SHARES, MOST_SHARES = 2, 262_144
SHARES_PER_CORE = 1024
GUARANTEED_SCORE, BEST_EFFORT_SCORE = -997, 1000
CRITICAL_PRIORITY = 2_000_000_000

_CLASS_DIRECTORY = {"Guaranteed": "", "Burstable": "/burstable", "BestEffort": "/besteffort"}


def pod_cgroup(root: str, pod: Obj) -> str:
    """`ROOT/kubepods/burstable/podUID`: Guaranteed Pods lie directly below kubepods."""
    return f"{root}/kubepods{_CLASS_DIRECTORY[podspec.qos_class(pod)]}/pod{uid_of(pod)}"


def shares(cpu_milli: int) -> int:
    if not cpu_milli:
        return LEAST_SHARES
    return min(max(cpu_milli * SHARES_PER_CORE // 1000, LEAST_SHARES), MOST_SHARES)


def quota_us(cpu_milli: int) -> int:
    """0: no limit."""
    return max(cpu_milli * PERIOD_US // 1000, LEAST_QUOTA_US) if cpu_milli else 0


def container_resources(pod: Obj, container: Obj, node_memory_bytes: int, pids: int = 0) -> Resources:
    """A CPU limit without a request counts as the request too, as the API's defaults have it."""
    given = container.get("resources") or {}
    limits, requests = given.get("limits") or {}, given.get("requests") or {}
    cpu_limit = podspec.amount("cpu", limits.get("cpu", 0))
    cpu_request = podspec.amount("cpu", requests.get("cpu", limits.get("cpu", 0)))
    memory_request = podspec.amount("memory", requests.get("memory", limits.get("memory", 0)))
    return Resources(
        cpu_shares=shares(cpu_request),
        cpu_quota_us=quota_us(cpu_limit),
        cpu_period_us=PERIOD_US,
        memory_bytes=podspec.amount("memory", limits.get("memory", 0)),
        pids=pids,
        oom_score_adj=oom_score(pod, memory_request, node_memory_bytes),
    )


def pod_resources(pod: Obj) -> Resources:
    """Of the Pod as a whole: the sum of the requests weighs it against other Pods; a limit binds only where
    every container has one.
    """
    spec = pod["spec"]
    limits = podspec.limits(pod)
    containers = [*(spec.get("initContainers") or ()), *spec["containers"]]
    bound = {
        name: limits[name]
        for name in limits
        if all(name in ((c.get("resources") or {}).get("limits") or {}) for c in containers)
    }
    return Resources(
        cpu_shares=shares(podspec.requests(pod).get("cpu", 0)),
        cpu_quota_us=quota_us(bound.get("cpu", 0)),
        cpu_period_us=PERIOD_US,
        memory_bytes=bound.get("memory", 0),
    )


def oom_score(pod: Obj, memory_request_bytes: int, node_memory_bytes: int) -> int:
    """What asked for more of the node's memory is killed later."""
    if (pod["spec"].get("priority") or 0) >= CRITICAL_PRIORITY:
        return GUARANTEED_SCORE
    quality = podspec.qos_class(pod)
    if quality == "Guaranteed":
        return GUARANTEED_SCORE
    if quality == "BestEffort":
        return BEST_EFFORT_SCORE
    score = 1000 - 1000 * memory_request_bytes // max(node_memory_bytes, 1)
    return min(max(score, 1000 + GUARANTEED_SCORE), BEST_EFFORT_SCORE - 1)
