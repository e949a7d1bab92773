"""Claims and persistent volumes, from the manifest to the directory on the node's disk."""

from __future__ import annotations

import json
import random
import time
from pathlib import Path

from harness.node import Node, eventually

CLAIM = """
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: %s}
spec:
  accessModes: [ReadWriteOnce]
  resources: {requests: {storage: %s}}
---
"""

POD = """
apiVersion: v1
kind: Pod
metadata: {name: %s}
spec:
  restartPolicy: Never
  terminationGracePeriodSeconds: 1
  securityContext: {fsGroup: 2000, runAsUser: 1000}
  containers:
  - name: c
    image: busybox
    command: [sh, -c, "%s"]
    volumeMounts: [{name: data, mountPath: /data}]
  volumes: [{name: data, %s}]
"""
USES = "persistentVolumeClaim: {claimName: %s}"
SLEEP = "sleep 1000"


def phase(node: Node, kind: str, name: str, namespace: str) -> str:
    return str(node.get(kind, name, namespace)["status"].get("phase", ""))


def gone(node: Node, kind: str, name: str, namespace: str) -> bool:
    return "NotFound" in node.kubectl("get", kind, name, "-n", namespace, check=False).err


def volume_of(node: Node, claim: str, namespace: str) -> str:
    return str(node.get("pvc", claim, namespace)["spec"]["volumeName"])


def ended(node: Node, pod: str, namespace: str) -> str:
    eventually(lambda: phase(node, "pod", pod, namespace) == "Succeeded", every_s=0.03)
    return node.kubectl("logs", pod, "-n", namespace).out


def test_what_one_pod_writes_another_reads_and_with_the_claim_it_goes(node: Node, namespace: str) -> None:
    node.apply(CLAIM % ("data", "1Gi"), namespace)
    eventually(lambda: any(e["reason"] == "WaitForFirstConsumer" for e in node.events("data", namespace)))
    assert phase(node, "pvc", "data", namespace) == "Pending"
    node.apply(
        POD % ("writer", "echo kept > /data/file; mkdir /data/sub; ln -s / /data/sub/root", USES % "data"),
        namespace,
    )
    ended(node, "writer", namespace)
    volume = volume_of(node, "data", namespace)
    directory = node.data / "volumes" / volume
    assert (directory / "file").read_text() == "kept\n" and (directory / "file").stat().st_gid == 2000
    node.kubectl("delete", "pod", "writer", "-n", namespace)
    node.apply(POD % ("reader", "cat /data/file", USES % "data"), namespace)
    assert ended(node, "reader", namespace) == "kept\n"

    # In use, the claim stays; a Pod that has ended may still be looked at.
    node.kubectl("delete", "pvc", "data", "-n", namespace, "--wait=false")
    assert "Terminating" in node.kubectl("get", "pvc", "data", "-n", namespace).out
    node.apply(POD % ("late", SLEEP, USES % "data"), namespace)
    message = '0/1 nodes are available: persistentvolumeclaim "data" is being deleted. preemption: '
    eventually(lambda: any(e["message"].startswith(message) for e in node.events("late", namespace)))
    assert directory.exists()
    node.kubectl("delete", "pod", "reader", "late", "-n", namespace)
    eventually(lambda: gone(node, "pvc", "data", namespace))
    eventually(lambda: gone(node, "pv", volume, namespace))
    assert not directory.exists()
    assert Path("/etc/passwd").exists()


def test_a_retained_volume_outlives_its_claim_and_serves_the_next(node: Node, namespace: str) -> None:
    node.apply(CLAIM % ("data", "1Gi") + POD % ("a", "echo old > /data/file", USES % "data"), namespace)
    ended(node, "a", namespace)
    volume = volume_of(node, "data", namespace)
    keep = json.dumps({"spec": {"persistentVolumeReclaimPolicy": "Retain"}})
    node.kubectl("patch", "pv", volume, "-p", keep)
    node.kubectl("delete", "pod/a", "pvc/data", "-n", namespace)
    eventually(lambda: phase(node, "pv", volume, namespace) == "Released")
    node.apply(CLAIM % ("data", "1Gi"), namespace)
    node.kubectl("patch", "pv", volume, "--type=json", "-p", '[{"op": "remove", "path": "/spec/claimRef"}]')
    eventually(lambda: phase(node, "pv", volume, namespace) == "Available")
    node.apply(POD % ("b", "cat /data/file", USES % "data"), namespace)
    assert ended(node, "b", namespace) == "old\n"
    assert volume_of(node, "data", namespace) == volume
    go = json.dumps({"spec": {"persistentVolumeReclaimPolicy": "Delete"}})
    node.kubectl("patch", "pv", volume, "-p", go)
    node.kubectl("delete", "pod/b", "pvc/data", "-n", namespace)
    eventually(lambda: gone(node, "pv", volume, namespace))
    assert not (node.data / "volumes" / volume).exists()


def test_a_claim_grows_and_never_shrinks(node: Node, namespace: str) -> None:
    node.apply(CLAIM % ("data", "1Gi") + POD % ("a", SLEEP, USES % "data"), namespace)
    node.wait_ready("pod/a", namespace)
    node.apply(CLAIM % ("data", "3Gi"), namespace)

    def grown() -> bool:
        return bool(node.get("pvc", "data", namespace)["status"]["capacity"] == {"storage": "3Gi"})

    eventually(grown)
    volume = volume_of(node, "data", namespace)
    assert node.get("pv", volume, namespace)["spec"]["capacity"] == {"storage": "3Gi"}
    patch = json.dumps({"spec": {"resources": {"requests": {"storage": "2Gi"}}}})
    refused = node.kubectl("patch", "pvc", "data", "-n", namespace, "-p", patch, check=False).err
    assert "spec.resources.requests.storage: Forbidden: field can not be less than status.capacity" in refused


EPHEMERAL = """ephemeral: {volumeClaimTemplate: {metadata: {labels: {a: b}},
    spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}}}"""


def test_an_ephemeral_volume_comes_and_goes_with_its_pod(node: Node, namespace: str) -> None:
    node.apply(POD % ("job", "echo x > /data/x && cat /data/x && sleep 1000", EPHEMERAL), namespace)
    node.wait_ready("pod/job", namespace, 10)
    volume = volume_of(node, "job-data", namespace)
    assert node.get("pvc", "job-data", namespace)["metadata"]["labels"] == {"a": "b"}
    node.kubectl("delete", "pod", "job", "-n", namespace)
    eventually(lambda: gone(node, "pvc", "job-data", namespace))
    eventually(lambda: gone(node, "pv", volume, namespace))
    # A claim of that name that is somebody else's is not touched.
    node.apply(CLAIM % ("other-data", "1Gi") + POD % ("other", SLEEP, EPHEMERAL), namespace)
    why = f"PVC {namespace}/other-data was not created for pod {namespace}/other (pod is not owner)"
    eventually(lambda: any(why in event["message"] for event in node.events("other", namespace)))


LOCAL = """
apiVersion: v1
kind: PersistentVolume
metadata: {name: %(name)s}
spec:
  capacity: {storage: 1Gi}
  accessModes: [ReadWriteOncePod]
  persistentVolumeReclaimPolicy: Retain
  storageClassName: %(name)s
  mountOptions: [noexec]
  local: {path: %(path)s}
  nodeAffinity: {required: {nodeSelectorTerms: [{matchExpressions: [{key: kubernetes.io/os, operator: In, values: [linux]}]}]}}
---
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {name: %(name)s}
provisioner: kubernetes.io/no-provisioner
volumeBindingMode: WaitForFirstConsumer
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data}
spec:
  accessModes: [ReadWriteOncePod]
  storageClassName: %(name)s
  resources: {requests: {storage: 1Gi}}
---
"""


def test_a_local_volume_is_one_pods_at_a_time(node: Node, namespace: str, tmp_path: Path) -> None:
    (tmp_path / "greeting").write_text("here\n")
    node.apply(
        LOCAL % {"name": "local-e2e", "path": tmp_path}
        + POD % ("a", "cat /data/greeting; " + SLEEP, USES % "data"),
        namespace,
    )
    node.wait_ready("pod/a", namespace)
    assert node.kubectl("logs", "a", "-n", namespace).out == "here\n"
    node.apply(
        POD % ("b", "cat /data/greeting", "persistentVolumeClaim: {claimName: data, readOnly: true}"),
        namespace,
    )
    only = "node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode"
    eventually(lambda: any(only in event["message"] for event in node.events("b", namespace)))
    node.kubectl("delete", "pod", "a", "-n", namespace)
    assert ended(node, "b", namespace) == "here\n"
    node.kubectl("delete", "pod/b", "pvc/data", "-n", namespace)
    eventually(lambda: phase(node, "pv", "local-e2e", namespace) == "Released")
    node.kubectl("delete", "pv/local-e2e", "sc/local-e2e")
    assert (tmp_path / "greeting").exists()


def test_what_a_pod_without_a_usable_claim_is_told(node: Node, namespace: str) -> None:
    node.apply(POD % ("a", SLEEP, USES % "missing"), namespace)
    message = (
        '0/1 nodes are available: persistentvolumeclaim "missing" not found. '
        "preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling."
    )
    eventually(lambda: any(event["message"] == message for event in node.events("a", namespace)))
    placed = (POD % ("placed", SLEEP, USES % "missing")).replace(
        "spec:\n", f"spec:\n  nodeName: {node.name}\n", 1
    )
    node.apply(placed, namespace)
    why = (
        "Unable to attach or mount volumes: unmounted volumes=[data], unattached volumes=[], failed to process "
        f"volumes=[data]: error processing PVC {namespace}/missing: failed to fetch PVC from API server: "
        'persistentvolumeclaims "missing" not found'
    )
    eventually(lambda: any(event["message"] == why for event in node.events("placed", namespace)))
    # Both go on once there is one; the node that was named need not be chosen.
    node.apply(CLAIM % ("missing", "1Gi"), namespace)
    for name in ("a", "placed"):
        node.wait_ready(f"pod/{name}", namespace)


def test_killed_while_it_binds_and_while_it_takes_away(node: Node, namespace: str) -> None:
    names = [f"c{number}" for number in range(8)]
    moments = random.Random(namespace)
    manifests = (CLAIM % (name, "1Gi") + POD % (name, SLEEP, USES % name) for name in names)
    node.apply("---\n".join(manifests), namespace)
    for _ in range(2):
        time.sleep(moments.uniform(0.0, 0.3))
        node.kill()
        node.up()
    node.kubectl("wait", "--for=condition=Ready", "pods", "--all", "-n", namespace, "--timeout=120s")
    volumes = {each["metadata"]["name"]: each for each in node.list("pv", "")}
    pairs = {claim["spec"]["volumeName"]: claim for claim in node.list("pvc", namespace)}
    assert len(pairs) == len(names)
    for name, claim in pairs.items():
        assert claim["status"]["phase"] == volumes[name]["status"]["phase"] == "Bound"
        assert volumes[name]["spec"]["claimRef"]["uid"] == claim["metadata"]["uid"]
    made = {path.name for path in (node.data / "volumes").iterdir()}
    assert pairs.keys() <= made
    node.kubectl("delete", "pods,pvc", "--all", "-n", namespace, "--wait=false")
    time.sleep(moments.uniform(0.0, 0.3))
    node.kill()
    node.up()
    eventually(lambda: not pairs.keys() & {each["metadata"]["name"] for each in node.list("pv", "")})
    assert not pairs.keys() & {path.name for path in (node.data / "volumes").iterdir()}
    assert not node.list("pvc", namespace)
