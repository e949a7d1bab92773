"""Sidecars on a real node: before the main container, beside it, and after it."""

from pathlib import Path

from harness.node import Node, eventually

STAMP = 'stamp() { echo "$1 $NAME" >> /log/order; }; '
LASTING = STAMP + "trap 'stamp end; exit 0' TERM; stamp start; while :; do sleep 0.02; done"
SIDECAR = """
    restartPolicy: Always
    startupProbe: {exec: {command: [grep, start, /log/order]}, periodSeconds: 1}"""


def pod(main: str, log: Path, *, restart: str = "Never") -> str:
    """Two sidecars and a main container that write into `log`/order when they start and end."""

    def container(name: str, command: str, more: str = "") -> str:
        return f"""
  - name: {name}
    image: busybox
    imagePullPolicy: IfNotPresent
    env: [{{name: NAME, value: {name}}}]
    command: [sh, -c, '{command.replace("'", "''")}']
    volumeMounts: [{{name: log, mountPath: /log}}]{more}"""

    return f"""
apiVersion: v1
kind: Pod
metadata: {{name: frame}}
spec:
  restartPolicy: {restart}
  terminationGracePeriodSeconds: 5
  volumes: [{{name: log, hostPath: {{path: {log}}}}}]
  initContainers:{container("one", LASTING, SIDECAR)}{container("two", LASTING, SIDECAR)}
  containers:{container("main", main)}
"""


def status(node: Node, namespace: str) -> dict:
    found: dict = node.get("pod", "frame", namespace)["status"]
    return found


def test_sidecars_frame_the_main_container_and_do_not_keep_the_pod(
    node: Node, namespace: str, tmp_path: Path
) -> None:
    node.apply(pod(STAMP + "stamp start; sleep 0.2; stamp end", tmp_path), namespace)
    eventually(lambda: status(node, namespace)["phase"] == "Succeeded")
    ended = [s["state"]["terminated"]["exitCode"] for s in status(node, namespace)["initContainerStatuses"]]
    assert ended == [0, 0]
    assert (tmp_path / "order").read_text().splitlines() == [
        "start one",
        "start two",
        "start main",
        "end main",
        "end two",
        "end one",
    ]


def test_deletion_takes_them_in_the_same_order(node: Node, namespace: str, tmp_path: Path) -> None:
    node.apply(pod(LASTING, tmp_path, restart="Always"), namespace)
    node.wait_ready("pod/frame", namespace)
    row = node.kubectl("get", "pod", "frame", "-n", namespace).out.splitlines()[1]
    assert row.split()[1] == "3/3"
    node.kubectl("delete", "pod", "frame", "-n", namespace)
    assert (tmp_path / "order").read_text().splitlines()[-3:] == ["end main", "end two", "end one"]


def test_a_dead_sidecar_comes_back_while_the_main_container_runs_on(
    node: Node, namespace: str, tmp_path: Path
) -> None:
    node.apply(pod(LASTING, tmp_path), namespace)
    node.wait_ready("pod/frame", namespace)
    node.sh("frame", namespace, "kill -TERM 1", "one")

    def back() -> bool:
        one = status(node, namespace)["initContainerStatuses"][0]
        return bool(one["restartCount"] == 1 and one["started"] and one["ready"])

    eventually(back)
    now = status(node, namespace)
    assert now["phase"] == "Running" and now["containerStatuses"][0]["restartCount"] == 0


RULES = """
apiVersion: v1
kind: Pod
metadata: {name: frame}
spec:
  restartPolicy: Never
  volumes: [{name: work, emptyDir: {}}]
  containers:
  - name: main
    image: busybox
    imagePullPolicy: IfNotPresent
    restartPolicy: Never
    restartPolicyRules: [{action: Restart, exitCodes: {operator: In, values: [42]}}]
    command: [sh, -c, "echo >> /shared/runs; [ $(wc -l < /shared/runs) = 1 ] && exit 42; exit 7"]
    volumeMounts: [{name: work, mountPath: /shared}]
"""


def test_a_container_is_restarted_by_its_own_rules(node: Node, namespace: str) -> None:
    node.apply(RULES, namespace)
    eventually(lambda: status(node, namespace)["phase"] == "Failed")
    (main,) = status(node, namespace)["containerStatuses"]
    assert main["restartCount"] == 1
    assert main["lastState"]["terminated"]["exitCode"] == 42
    assert main["state"]["terminated"]["exitCode"] == 7
