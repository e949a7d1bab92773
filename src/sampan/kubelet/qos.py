"""Requests and limits as the kernel takes them: cgroup paths, shares, quotas, OOM scores. Pure.

Sources: concepts/configuration/manage-resources-containers and concepts/scheduling-eviction/
node-pressure-eviction, "Node out of memory behavior".
"""

from __future__ import annotations

from collections.abc import Mapping

from sampan.api import podspec
from sampan.api.objects import Obj, uid_of
from sampan.kubelet.runtime.contract import Resources

PERIOD_US = 100_000
LEAST_QUOTA_US = 1000
LEAST_SHARES, MOST_SHARES = 2, 262_144
SHARES_PER_CORE = 1024
GUARANTEED_SCORE, BEST_EFFORT_SCORE = -997, 1000
CRITICAL_PRIORITY = 2_000_000_000
HUGE_PAGES = "hugepages-"
CONFIG_SOURCE = "kubernetes.io/config.source"
NODE_CRITICAL = "system-node-critical"

_CLASS_DIRECTORY = {"Guaranteed": "", "Burstable": "/burstable", "BestEffort": "/besteffort"}


def is_static(pod: Obj) -> bool:
    """From the node's own files, not from the API: what comes from there has a version, whatever it says."""
    annotations = pod["metadata"].get("annotations") or {}
    return annotations.get(CONFIG_SOURCE, "api") != "api" and not pod["metadata"].get("resourceVersion")


def is_critical(pod: Obj) -> bool:
    """The node or the cluster itself needs it: it does not go for what others use."""
    return is_static(pod) or (pod["spec"].get("priority") or 0) >= CRITICAL_PRIORITY


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
    """A CPU limit without a request counts as the request too, as the API's defaults have it.

    A container without a limit of its own is held to its Pod's (KEP-2837).
    """
    limits, requests = listed(container, "limits"), listed(container, "requests")
    of_pod = listed(pod["spec"], "limits")
    return Resources(
        cpu_shares=shares(requests.get("cpu", limits.get("cpu", 0))),
        cpu_quota_us=quota_us(limits.get("cpu") or of_pod.get("cpu", 0)),
        cpu_period_us=PERIOD_US,
        memory_bytes=limits.get("memory") or of_pod.get("memory", 0),
        pids=pids,
        oom_score_adj=oom_score(pod, container, node_memory_bytes),
        huge_pages=huge_pages(limits),
    )


def pod_resources(pod: Obj, pids: int = 0) -> Resources:
    """Of the Pod as a whole: the sum of the requests weighs it against other Pods; a limit binds where the
    Pod itself has one, or every container.
    """
    spec = pod["spec"]
    limits = podspec.limits(pod)
    containers = [*(spec.get("initContainers") or ()), *spec["containers"]]
    declared = listed(spec, "limits")
    bound = {
        name: limits[name]
        for name in limits
        if declared.get(name) or all(listed(container, "limits").get(name) for container in containers)
    }
    return Resources(
        cpu_shares=shares(podspec.requests(pod).get("cpu", 0)),
        cpu_quota_us=quota_us(bound.get("cpu", 0)),
        cpu_period_us=PERIOD_US,
        memory_bytes=bound.get("memory", 0),
        pids=pids,
        huge_pages=huge_pages(limits),
    )


def huge_pages(limits: Mapping[str, int]) -> dict[str, int]:
    """`hugepages-2Mi` is `2MB` to the kernel."""
    return {
        f"{name.removeprefix(HUGE_PAGES).removesuffix('i')}B": count
        for name, count in limits.items()
        if name.startswith(HUGE_PAGES)
    }


def tiers(root: str, burstable_cpu_milli: int, capacity: Mapping[str, int]) -> dict[str, Resources]:
    """The directories above Pods: path -> what it is given.

    `capacity`: what all Pods may use together (`allocatable.for_pods`). Burstable Pods as a class weigh what
    they ask for in all, those of BestEffort as little as the kernel allows.
    """
    top = f"{root}/kubepods"
    return {
        top: Resources(cpu_shares=shares(capacity.get("cpu", 0)), memory_bytes=capacity.get("memory", 0)),
        f"{top}/burstable": Resources(cpu_shares=shares(burstable_cpu_milli)),
        f"{top}/besteffort": Resources(cpu_shares=LEAST_SHARES),
    }


def oom_score(pod: Obj, container: Obj, node_memory_bytes: int) -> int:
    """What asked for more of the node's memory is killed later; a sidecar not before what it serves."""
    spec = pod["spec"]
    if spec.get("priorityClassName") == NODE_CRITICAL and (spec.get("priority") or 0) >= CRITICAL_PRIORITY:
        return GUARANTEED_SCORE
    quality = podspec.qos_class(pod)
    if quality == "Guaranteed":
        return GUARANTEED_SCORE
    if quality == "BestEffort":
        return BEST_EFFORT_SCORE
    asked = _memory_request(container)
    if podspec.is_sidecar(container):
        asked = max(asked, *(_memory_request(served) for served in spec["containers"]))
    asked += _shared_memory_request(spec)
    score = 1000 - 1000 * asked // max(node_memory_bytes, 1)
    return min(max(score, 1000 + GUARANTEED_SCORE), BEST_EFFORT_SCORE - 1)


def _shared_memory_request(spec: Obj) -> int:
    """What the Pod asks for beyond its containers, an equal part of it for each."""
    whole = listed(spec, "requests").get("memory")
    if whole is None:
        return 0
    sidecars = [container for container in spec.get("initContainers") or () if podspec.is_sidecar(container)]
    containers = [*spec["containers"], *sidecars]
    rest = whole - sum(_memory_request(container) for container in containers)
    return max(rest, 0) // len(containers)


def _memory_request(container: Obj) -> int:
    return listed(container, "requests").get("memory", listed(container, "limits").get("memory", 0))


def listed(holder: Obj, which: str) -> dict[str, int]:
    """`requests` or `limits` of a container or of a Pod's spec, in the units of `podspec.amount`."""
    found = (holder.get("resources") or {}).get(which) or {}
    return {name: podspec.amount(name, text) for name, text in found.items()}
