"""Pods that come and go leave nothing behind: not on the machine, not in the process."""

import time

from harness.holdings import holdings, resident_kib
from harness.node import Node, eventually

WARM_CYCLES, CYCLES, PODS = 2, 5, 12
GROWTH_KIB = 160
"""Of the process per Pod that came and went. Its Events stay for an hour, some 12 KiB; the rest is slack for
an allocator that fills its pages. With dicts kept in the watch cache it was 320."""

COMMON = """
apiVersion: v1
kind: ConfigMap
metadata: {name: words}
data: {greeting: hello}
---
apiVersion: v1
kind: Service
metadata: {name: soak}
spec: {selector: {app: soak}, ports: [{port: 80}]}
"""

POD = """
---
apiVersion: v1
kind: Pod
metadata: {name: soak-NUMBER, labels: {app: soak}}
spec:
  terminationGracePeriodSeconds: 0
  volumes:
  - {name: scratch, emptyDir: {medium: Memory}}
  - {name: words, configMap: {name: words}}
  initContainers:
  - {name: first, image: "busybox:1.36", command: ["true"]}
  containers:
  - name: main
    image: busybox:1.36
    command: [sleep, infinity]
    readinessProbe: {exec: {command: [test, -e, /words/greeting]}, periodSeconds: 1}
    volumeMounts: [{name: scratch, mountPath: /scratch}, {name: words, mountPath: /words}]
  - {name: side, image: "busybox:1.36", command: [sleep, infinity]}
"""


def cycle(node: Node, namespace: str) -> None:
    node.apply("".join(POD.replace("NUMBER", str(number)) for number in range(PODS)), namespace)
    node.kubectl("wait", "--for=condition=Ready", "pods", "-n", namespace, "-l", "app=soak", "--timeout=60s")
    node.kubectl("delete", "pods", "-n", namespace, "-l", "app=soak")


def settled(node: Node) -> dict[str, int]:
    """What the node holds, once what tests before this one left to be deleted has gone."""
    before = holdings(node)
    time.sleep(1)
    assert holdings(node) == before
    return before


def given_back(node: Node, before: dict[str, int]) -> bool:
    now = holdings(node)
    more = {kind: (before.get(kind, 0), count) for kind, count in now.items() if count > before.get(kind, 0)}
    assert not more, f"held before and now: {more}"
    return True


def test_pods_that_come_and_go_leave_nothing_behind(node: Node, namespace: str) -> None:
    node.apply(COMMON, namespace)
    for _ in range(WARM_CYCLES):
        cycle(node, namespace)
    before, before_kib = eventually(lambda: settled(node), 60), resident_kib(node)
    for _ in range(CYCLES):
        cycle(node, namespace)
    eventually(lambda: given_back(node, before))
    assert (resident_kib(node) - before_kib) / (CYCLES * PODS) < GROWTH_KIB
