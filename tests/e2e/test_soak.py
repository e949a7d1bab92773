"""Pods that come and go leave nothing behind: not on the machine, not in the process."""

import math
import os
import random
import time

from harness.holdings import holdings, resident_kib
from harness.node import Node, eventually

CYCLES = int(os.environ.get("SAMPAN_SOAK", "48"))
"""Pods in all; for a long run by hand: `SAMPAN_SOAK=1000 pytest -s tests/e2e/test_soak.py`."""
PODS, WARM_BATCHES = 12, 2
"""So many at once, and so often before it is counted what there is."""
SLACK_KIB, GROWTH_KIB = 8192, 32
"""Of the process, and of it per Pod that came and went: its Events stay for an hour, some 12 KiB. The rest is
for an allocator that fills its pages."""
KEPT_READY = {"descriptors of socket": 8}
"""What may be more than before, however many Pods came and went: sockets in stock and connections kept alive."""

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
metadata: {name: soak-NUMBER, labels: {app: soak, fate: FATE}}
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
    command: [sh, -c, "echo here; exec sleep infinity"]
    readinessProbe: {exec: {command: [test, -e, /words/greeting]}, periodSeconds: 1}
    volumeMounts: [{name: scratch, mountPath: /scratch}, {name: words, mountPath: /words}]
  - {name: side, image: "busybox:1.36", command: [sleep, infinity]}
"""


FATES = ("early", "early-force", *["end"] * (PODS - 5), *["end-force"] * 3)
"""When and how each Pod of a batch is deleted."""
FORCE = ("--grace-period=0", "--force")


def batch(node: Node, namespace: str, moments: random.Random) -> None:
    pods = [POD.replace("NUMBER", str(number)).replace("FATE", fate) for number, fate in enumerate(FATES)]
    node.apply("".join(pods), namespace)
    time.sleep(moments.uniform(0.0, 0.5))
    delete(node, namespace, "fate=early-force", *FORCE)
    delete(node, namespace, "fate=early", "--wait=false")
    living = ("-n", namespace, "-l", "fate in (end, end-force)")
    node.kubectl("wait", "--for=condition=Ready", "pods", *living, "--timeout=120s")
    one = f"soak-{moments.randrange(2, PODS)}"
    assert node.sh(one, namespace, "echo well > /scratch/a; cat /scratch/a /words/greeting") == "well\nhello"
    assert node.kubectl("logs", one, "-c", "main", "-n", namespace).out == "here\n"
    delete(node, namespace, "fate=end-force", *FORCE)
    delete(node, namespace, "app=soak")


def delete(node: Node, namespace: str, selector: str, *flags: str) -> None:
    node.kubectl("delete", "pods", "-n", namespace, "-l", selector, *flags)


def settled(node: Node) -> dict[str, int]:
    """What the node holds, once what tests before this one left to be deleted has gone."""
    before = holdings(node)
    time.sleep(1)
    assert holdings(node) == before
    return before


def given_back(node: Node, before: dict[str, int]) -> bool:
    now = holdings(node)
    allowed = {kind: before.get(kind, 0) + KEPT_READY.get(kind, 0) for kind in now}
    more = {kind: (before.get(kind, 0), count) for kind, count in now.items() if count > allowed[kind]}
    assert not more, f"held before and now: {more}"
    return True


def test_pods_that_come_and_go_leave_nothing_behind(node: Node, namespace: str) -> None:
    node.apply(COMMON, namespace)
    moments = random.Random(CYCLES)
    for _ in range(WARM_BATCHES):
        batch(node, namespace, moments)
    before, before_kib = eventually(lambda: settled(node), 60), resident_kib(node)
    begun, batches = time.monotonic(), math.ceil(CYCLES / PODS)
    for number in range(batches):
        batch(node, namespace, moments)
        if number % 10 == 9:
            print(f"{(number + 1) * PODS} Pods, {resident_kib(node)} KiB", flush=True)
    took_s = time.monotonic() - begun
    eventually(lambda: given_back(node, before))
    growth_kib = resident_kib(node) - before_kib
    print(f"\n{batches * PODS} Pods in {took_s:.0f} s, {growth_kib} KiB more than {before_kib}: {before}")
    assert growth_kib < SLACK_KIB + GROWTH_KIB * batches * PODS
