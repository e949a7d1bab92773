"""Requests and limits on a real node: what the kernel holds Pods to, and what happens beyond it."""

from __future__ import annotations

import json
from pathlib import Path

from harness.node import Node, eventually

MIB = 1 << 20
# A container sees its own cgroup, whichever of the two kinds the host has.
OWN_LIMITS = """
cd /sys/fs/cgroup
cat memory/memory.limit_in_bytes 2>/dev/null || cat memory.max
cat cpu/cpu.cfs_quota_us 2>/dev/null || cut -d' ' -f1 cpu.max
cat cpu/cpu.shares 2>/dev/null || cat cpu.weight
"""
GREEDY = "tail /dev/zero"
"""Waits for the end of the first line, and keeps it all."""


def pod(name: str, *containers: str, **spec: object) -> str:
    fields = {"restartPolicy": "Never", "terminationGracePeriodSeconds": 0, **spec}
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name},
            "spec": {**fields, "containers": [json.loads(each) for each in containers]},
        }
    )


def box(name: str = "c", command: str = "sleep 1000", **fields: object) -> str:
    return json.dumps({"name": name, "image": "busybox", "command": ["sh", "-c", command], **fields})


def limits(**amounts: str) -> dict[str, object]:
    return {"limits": amounts}


def own(node: Node, name: str, namespace: str) -> list[int]:
    """(memory limit, CPU quota, CPU weight)"""
    return [int(line) for line in node.sh(name, namespace, OWN_LIMITS).split()]


def test_limits_reach_the_kernel(node: Node, namespace: str) -> None:
    node.apply(pod("sized", box(resources=limits(cpu="200m", memory="32Mi"))), namespace)
    node.wait_ready("pod/sized", namespace)
    memory, quota, weight = own(node, "sized", namespace)
    assert (memory, quota) == (32 * MIB, 20_000) and weight in (204, 8)
    status = node.get("pod", "sized", namespace)["status"]
    assert status["qosClass"] == "Guaranteed"
    score = int(node.sh("sized", namespace, "cat /proc/self/oom_score_adj"))
    assert score in (-997, int(Path("/proc/self/oom_score_adj").read_text())), "as low as the kernel lets us"


def test_too_much_memory_ends_the_container_and_says_so(node: Node, namespace: str) -> None:
    greedy = box(command=f"exec {GREEDY}", resources=limits(memory="32Mi"))
    child = box(command=f"{GREEDY}; exit 3", resources=limits(memory="32Mi"))
    node.apply(pod("first", greedy), namespace)
    node.apply(pod("child", child), namespace)
    together = pod("together", box(command=f"exec {GREEDY}"), resources=limits(memory="32Mi", cpu="1"))
    node.apply(together, namespace)
    for name, code in (("first", 137), ("child", 3), ("together", 137)):
        ended = eventually(lambda name=name: terminated(node, name, namespace))
        assert (ended["reason"], ended["exitCode"]) == ("OOMKilled", code), name


def terminated(node: Node, name: str, namespace: str) -> dict[str, object]:
    statuses = node.get("pod", name, namespace)["status"].get("containerStatuses") or [{}]
    found: dict[str, object] = (statuses[0].get("state") or {}).get("terminated") or {}
    return found


def test_a_pod_that_does_not_fit_its_node_fails(node: Node, namespace: str) -> None:
    name = json.loads(node.kubectl("get", "nodes", "-o", "json").out)["items"][0]["metadata"]["name"]
    asked = {"requests": {"cpu": "4096"}}
    node.apply(pod("vast", box(resources=asked), nodeName=name), namespace)
    status = eventually(
        lambda: (found := node.get("pod", "vast", namespace)["status"])["phase"] == "Failed" and found
    )
    assert status["reason"] == "OutOfcpu"
    words = "Pod was rejected: Node didn't have enough resource: cpu, requested: 4096000, used: "
    assert status["message"].startswith(words)


def test_a_resize_changes_the_limits_of_what_runs(node: Node, namespace: str) -> None:
    node.apply(pod("grows", box(resources=limits(cpu="100m", memory="32Mi"))), namespace)
    node.wait_ready("pod/grows", namespace)
    before = node.get("pod", "grows", namespace)["status"]["containerStatuses"][0]["containerID"]
    amounts = {"cpu": "300m", "memory": "64Mi"}
    sized = {"name": "c", "resources": {"requests": amounts, "limits": amounts}}
    patch = json.dumps({"spec": {"containers": [sized]}})
    node.kubectl("patch", "pod", "grows", "-n", namespace, "--subresource", "resize", "-p", patch)

    def resized() -> bool:
        status = node.get("pod", "grows", namespace)["status"]["containerStatuses"][0]
        assert status["containerID"] == before
        return bool(status["resources"]["limits"] == amounts)

    eventually(resized)
    assert own(node, "grows", namespace)[:2] == [64 * MIB, 30_000]
    refused = node.kubectl(
        *("patch", "pod", "grows", "-n", namespace, "--subresource", "resize", "-p"),
        json.dumps({"spec": {"containers": [{"name": "c", "resources": {"limits": {"cpu": "1"}}}]}}),
        check=False,
    )
    assert "Pod QOS Class may not change as a result of resizing" in refused.err


def test_a_pod_beyond_its_local_storage_is_evicted(node: Node, namespace: str) -> None:
    volume = {"name": "v", "emptyDir": {"sizeLimit": "5Mi"}}
    fills = box(
        command="dd if=/dev/zero of=/v/x bs=1M count=9; sleep 1000",
        volumeMounts=[{"name": "v", "mountPath": "/v"}],
    )
    writes = box(
        command="dd if=/dev/zero of=/x bs=1M count=9; sleep 1000",
        resources={"limits": {"ephemeral-storage": "5Mi"}},
    )
    node.apply(pod("fills", fills, volumes=[volume]), namespace)
    node.apply(pod("writes", writes), namespace)
    said = {
        "fills": 'Usage of EmptyDir volume "v" exceeds the limit "5Mi". ',
        "writes": "Pod ephemeral local storage usage exceeds the total limit of containers 5Mi. ",
    }
    for name, words in said.items():
        status = eventually(
            lambda name=name: (
                (found := node.get("pod", name, namespace)["status"])["phase"] == "Failed" and found
            )
        )
        assert (status["reason"], status["message"]) == ("Evicted", words)
        target = next(each for each in status["conditions"] if each["type"] == "DisruptionTarget")
        assert target["reason"] == "TerminationByKubelet"


WEB = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 1
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 0
      containers: [{name: c, image: busybox, command: [sleep, "1000"]}]
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: web}
spec: {maxUnavailable: 1, selector: {matchLabels: {app: web}}}
"""


def test_drain_evicts(node: Node, namespace: str) -> None:
    name = json.loads(node.kubectl("get", "nodes", "-o", "json").out)["items"][0]["metadata"]["name"]
    node.apply(WEB, namespace)
    node.rolled_out("web", namespace)
    eventually(lambda: node.get("pdb", "web", namespace)["status"]["disruptionsAllowed"] == 1)
    try:
        said = node.kubectl("drain", name, "--pod-selector=app=web", "--timeout=120s").out
        assert "evicted" in said and "drained" in said
        eventually(lambda: [each["status"]["phase"] for each in node.list("pods", namespace)] == ["Pending"])
        eventually(lambda: node.get("pdb", "web", namespace)["status"]["disruptionsAllowed"] == 0)
    finally:
        node.kubectl("uncordon", name)
    node.rolled_out("web", namespace)
