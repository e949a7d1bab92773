"""`kubectl debug` on a real node: beside a running container, in a copy of a Pod, on the node itself."""

import pytest

from harness.node import Node, eventually

RUNNING = """
apiVersion: v1
kind: Pod
metadata: {name: web}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - {name: web, image: toolbox, imagePullPolicy: IfNotPresent, command: [sleep, "3600"]}
"""
CRASHING = """
apiVersion: v1
kind: Pod
metadata: {name: web}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - {name: web, image: busybox, imagePullPolicy: IfNotPresent, command: [sh, -c, "exit 3"]}
"""


def debugger(node: Node, namespace: str, name: str) -> dict:
    found = node.get("pod", "web", namespace)["status"].get("ephemeralContainerStatuses") or []
    return next((status for status in found if status["name"] == name), {"state": {}})


def debug(node: Node, namespace: str, *words: str) -> None:
    node.kubectl("debug", "-n", namespace, "--image=busybox", "--profile=general", *words)


def test_a_debugger_sees_the_processes_of_its_target(node: Node, namespace: str) -> None:
    node.apply(RUNNING, namespace)
    node.wait_ready("pod/web", namespace)
    debug(
        node,
        namespace,
        "web",
        "--target=web",
        "-c",
        "dbg",
        "--",
        "sh",
        "-c",
        "ps; cat /proc/1/cmdline; exit 3",
    )
    eventually(lambda: "terminated" in debugger(node, namespace, "dbg")["state"])
    assert debugger(node, namespace, "dbg")["state"]["terminated"]["exitCode"] == 3
    log = node.kubectl("logs", "web", "-n", namespace, "-c", "dbg").out
    assert "1 root     sleep 3600" in log
    debug(node, namespace, "web", "-c", "alone", "--", "ps")
    eventually(lambda: "terminated" in debugger(node, namespace, "alone")["state"])
    assert "sleep" not in node.kubectl("logs", "web", "-n", namespace, "-c", "alone").out
    described = node.kubectl("describe", "pod", "web", "-n", namespace).out
    assert "Ephemeral Containers:" in described and "dbg:" in described
    pod = node.get("pod", "web", namespace)
    assert pod["metadata"]["generation"] == pod["status"]["observedGeneration"] == 3
    assert pod["status"]["containerStatuses"][0]["restartCount"] == 0


def test_a_debugger_talks(node: Node, namespace: str) -> None:
    node.apply(RUNNING, namespace)
    node.wait_ready("pod/web", namespace)
    words = ("debug", "-i", "web", "-n", namespace, "--image=busybox", "--profile=general", "-c", "talk")
    answer = node.kubectl(*words, "--", "sh", stdin="echo hello-$((6 * 7))\nexit\n")
    assert "hello-42" in answer.out


def test_a_debugger_without_an_image_harms_nobody(node: Node, namespace: str) -> None:
    node.apply(RUNNING, namespace)
    node.wait_ready("pod/web", namespace)
    words = ("debug", "web", "-n", namespace, "--image=nosuchimage", "--profile=general", "-c", "lost")
    node.kubectl(*words, "--", "sh")
    eventually(
        lambda: debugger(node, namespace, "lost")["state"].get("waiting", {}).get("reason") == "ErrImagePull"
    )
    ready = [
        c["status"] for c in node.get("pod", "web", namespace)["status"]["conditions"] if c["type"] == "Ready"
    ]
    assert ready == ["True"]


def test_a_copy_is_debugged_in_place_of_a_crashing_pod(node: Node, namespace: str) -> None:
    node.apply(CRASHING, namespace)
    words = ("debug", "web", "-n", namespace, "--copy-to=copy", "--container=web", "--profile=general")
    node.kubectl(*words, "--share-processes", "--", "sleep", "3600")
    node.wait_ready("pod/copy", namespace)
    assert "sleep 3600" in node.sh("copy", namespace, "ps")


@pytest.mark.parametrize("profile", ["general", "sysadmin"])
def test_a_node_is_debugged_from_a_pod(node: Node, namespace: str, profile: str) -> None:
    name = node.kubectl("get", "nodes", "-o", "name").out.strip()
    words = ("debug", name, "-n", namespace, "--image=busybox", f"--profile={profile}")
    node.kubectl(*words, "--", "sh", "-c", f"ls /host{node.work}; ps | grep -c .; hostname")
    (pod,) = node.list("pods", namespace)
    eventually(lambda: node.list("pods", namespace)[0]["status"]["phase"] == "Succeeded")
    lines = node.kubectl("logs", pod["metadata"]["name"], "-n", namespace).out.split()
    assert {"data", "kubeconfig"} <= set(lines)
    assert int(lines[-2]) > 5
