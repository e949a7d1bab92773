"""Pods end in whatever phase they are deleted, and change in place what may change."""

from harness.node import Node, eventually

PODS = {
    "unscheduled": "{nodeSelector: {no: where}, containers: [CONTAINER]}",
    "pulling": '{containers: [{name: a, image: "nosuch:1"}]}',
    "preparing": "{volumes: [{name: v, secret: {secretName: none}}], containers: [{name: a, image: busybox, "
    "command: [sleep, '3600'], volumeMounts: [{name: v, mountPath: /v}]}]}",
    "initializing": "{terminationGracePeriodSeconds: 1, initContainers: [{name: i, image: busybox, "
    "command: [sleep, '3600']}], containers: [CONTAINER]}",
    "crashing": "{terminationGracePeriodSeconds: 600, containers: [{name: a, image: busybox, command: ['false']}]}",
    "completed": "{restartPolicy: Never, containers: [{name: a, image: busybox, command: ['true']}]}",
    "hooked": "{terminationGracePeriodSeconds: 600, containers: [{name: a, image: busybox, "
    "command: [sleep, '3600'], lifecycle: {preStop: {exec: {command: [sleep, '3600']}}}}]}",
}
CONTAINER = "{name: a, image: busybox, command: [sleep, '3600']}"


def manifest(name: str) -> str:
    spec = PODS[name].replace("CONTAINER", CONTAINER)
    return f"apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}}}\nspec: {spec}\n"


def reason(node: Node, name: str, namespace: str) -> str:
    status = node.get("pod", name, namespace)["status"]
    lists = ("containerStatuses", "initContainerStatuses")
    states = [s["state"] for listed in lists for s in status.get(listed) or ()]
    reasons = [next(iter(state.values())).get("reason", "running") for state in states]
    return " ".join([status["phase"], *reasons])


def uid(node: Node, name: str, namespace: str) -> str:
    found: str = node.get("pod", name, namespace)["metadata"]["uid"]
    return found


def test_deletion_in_every_phase(node: Node, namespace: str) -> None:
    node.apply("---\n".join(map(manifest, PODS)), namespace)
    seen = {
        "pulling": "ImagePull",
        "preparing": "ContainerCreating",
        "initializing": "running",
        "crashing": "CrashLoopBackOff",
        "completed": "Succeeded",
        "hooked": "Running",
    }
    for name, words in seen.items():
        eventually(lambda name=name, words=words: words in reason(node, name, namespace))
    uids = [uid(node, name, namespace) for name in PODS]
    node.kubectl("delete", "pod", "-n", namespace, *PODS, "--grace-period=1")
    eventually(lambda: not any((node.data / "pods" / each).exists() for each in uids))


def test_removal_by_force_waits_for_no_hook(node: Node, namespace: str) -> None:
    node.apply(manifest("hooked"), namespace)
    node.wait_ready("pod/hooked", namespace)
    place = node.data / "pods" / uid(node, "hooked", namespace)
    node.kubectl("delete", "pod", "hooked", "-n", namespace, "--force", "--grace-period=0")
    assert place.exists()
    eventually(lambda: not place.exists())


LASTING = """
apiVersion: v1
kind: Pod
metadata: {name: lasting}
spec:
  terminationGracePeriodSeconds: 1
  initContainers: [{name: side, image: "busybox:1.36", restartPolicy: Always, command: [sleep, "3600"]}]
  containers: [{name: a, image: "busybox:1.36", command: [sleep, "3600"]}]
"""


def test_image_and_deadline_change_in_place(node: Node, namespace: str) -> None:
    node.apply(LASTING, namespace)
    node.wait_ready("pod/lasting", namespace)
    assert node.get("pod", "lasting", namespace)["metadata"]["generation"] == 1
    node.kubectl("set", "image", "pod/lasting", "-n", namespace, "a=busybox:latest", "side=busybox:latest")

    def replaced() -> bool:
        pod = node.get("pod", "lasting", namespace)
        status = pod["status"]
        both = [*status["initContainerStatuses"], *status["containerStatuses"]]
        new = all(s["restartCount"] == 1 and s["image"].endswith(":latest") and s["ready"] for s in both)
        return new and status["observedGeneration"] == pod["metadata"]["generation"] == 2

    eventually(replaced)
    node.kubectl("patch", "pod", "lasting", "-n", namespace, "-p", '{"spec": {"activeDeadlineSeconds": 1}}')
    eventually(lambda: node.get("pod", "lasting", namespace)["status"].get("reason") == "DeadlineExceeded")
    assert node.get("pod", "lasting", namespace)["status"]["phase"] == "Failed"
