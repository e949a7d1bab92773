"""Deployments, owners and namespaces: what the controllers promise, seen through kubectl."""

import json

from harness.node import Node, eventually

DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  %s
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 1
      containers: [{name: main, image: "busybox:%s", command: [sleep, infinity]}]
"""


def deploy(node: Node, namespace: str, tag: str = "1.36", extra: str = "") -> None:
    node.apply(DEPLOYMENT % (extra, tag), namespace)


def test_recreate_never_runs_old_and_new_together(node: Node, namespace: str) -> None:
    deploy(node, namespace, extra="strategy: {type: Recreate}")
    node.rolled_out("web", namespace)
    deploy(node, namespace, tag="latest", extra="strategy: {type: Recreate}")
    seen: set[frozenset[str]] = set()

    def done() -> bool:
        pods = node.list("pods", namespace)
        running = [pod for pod in pods if pod["status"].get("phase") == "Running"]
        seen.add(frozenset(pod["spec"]["containers"][0]["image"] for pod in running))
        return len(pods) == 2 and {p["spec"]["containers"][0]["image"] for p in running} == {"busybox:latest"}

    eventually(done, every_s=0.02)
    node.rolled_out("web", namespace)
    assert all(len(images) < 2 for images in seen)


def test_paused_deployment_waits_until_it_is_resumed(node: Node, namespace: str) -> None:
    deploy(node, namespace)
    node.rolled_out("web", namespace)
    node.kubectl("rollout", "pause", "deployment/web", "-n", namespace)
    node.kubectl("set", "image", "deployment/web", "main=busybox:latest", "-n", namespace)
    conditions = eventually(
        lambda: [
            c
            for c in node.get("deployment", "web", namespace)["status"]["conditions"]
            if c["reason"] == "DeploymentPaused"
        ]
    )
    assert conditions[0]["status"] == "Unknown"
    assert len(node.list("replicasets", namespace)) == 1
    node.kubectl("rollout", "resume", "deployment/web", "-n", namespace)
    node.rolled_out("web", namespace)
    assert len(node.list("replicasets", namespace)) == 2


def test_rollout_that_makes_no_progress_says_so(node: Node, namespace: str) -> None:
    deploy(node, namespace, tag="no-such-tag", extra="progressDeadlineSeconds: 2")
    output = node.kubectl("rollout", "status", "deployment/web", "-n", namespace, check=False)
    assert "exceeded its progress deadline" in output.err


def test_history_and_undo_to_a_revision(node: Node, namespace: str) -> None:
    deploy(node, namespace)
    node.rolled_out("web", namespace)
    node.kubectl("set", "env", "deployment/web", "A=1", "-n", namespace)
    node.rolled_out("web", namespace)
    node.kubectl("rollout", "restart", "deployment/web", "-n", namespace)
    node.rolled_out("web", namespace)
    assert node.kubectl("rollout", "history", "deployment/web", "-n", namespace).out.count("<none>") == 3
    node.kubectl("rollout", "undo", "deployment/web", "--to-revision=1", "-n", namespace)
    node.rolled_out("web", namespace)
    container = node.get("deployment", "web", namespace)["spec"]["template"]["spec"]["containers"][0]
    assert "env" not in container
    revision = node.get("deployment", "web", namespace)["metadata"]["annotations"]
    assert revision["deployment.kubernetes.io/revision"] == "4"


def test_what_is_owned_goes_with_its_owner(node: Node, namespace: str) -> None:
    deploy(node, namespace)
    node.rolled_out("web", namespace)
    node.kubectl("delete", "deployment", "web", "-n", namespace, "--cascade=foreground")
    assert node.list("replicasets", namespace) == [] and node.list("pods", namespace) == []


def test_orphans_stay_and_are_adopted_again(node: Node, namespace: str) -> None:
    deploy(node, namespace)
    node.rolled_out("web", namespace)
    before = {pod["metadata"]["uid"] for pod in node.list("pods", namespace)}
    node.kubectl("delete", "deployment", "web", "-n", namespace, "--cascade=orphan")
    (orphan,) = node.list("replicasets", namespace)
    assert "ownerReferences" not in orphan["metadata"]
    deploy(node, namespace)
    node.rolled_out("web", namespace)
    eventually(lambda: "ownerReferences" in node.list("replicasets", namespace)[0]["metadata"])
    assert {pod["metadata"]["uid"] for pod in node.list("pods", namespace)} == before


def test_namespace_goes_with_everything_in_it(node: Node) -> None:
    node.kubectl("create", "namespace", "doomed")
    deploy(node, "doomed")
    node.kubectl("create", "configmap", "c", "-n", "doomed")
    node.kubectl("create", "service", "clusterip", "s", "--tcp=80", "-n", "doomed")
    node.rolled_out("web", "doomed")
    node.kubectl("delete", "namespace", "doomed", timeout_s=60)
    assert node.kubectl("get", "namespace", "doomed", check=False).code == 1
    node.kubectl("create", "namespace", "doomed")
    names = [obj["metadata"]["name"] for obj in node.list("configmaps,services,pods", "doomed")]
    assert set(names) <= {"kube-root-ca.crt"}
    node.kubectl("delete", "namespace", "doomed")


def test_finalizer_holds_an_object_until_it_is_taken_off(node: Node, namespace: str) -> None:
    node.apply(
        "{apiVersion: v1, kind: ConfigMap, metadata: {name: held, finalizers: [example.com/hold]}}", namespace
    )
    node.kubectl("delete", "configmap", "held", "-n", namespace, "--wait=false")
    assert node.get("configmap", "held", namespace)["metadata"]["deletionTimestamp"]
    patch = [{"op": "remove", "path": "/metadata/finalizers"}]
    node.kubectl("patch", "configmap", "held", "-n", namespace, "--type=json", "-p", json.dumps(patch))
    assert node.kubectl("get", "configmap", "held", "-n", namespace, check=False).code == 1


def test_dry_run_changes_nothing(node: Node, namespace: str) -> None:
    node.kubectl("create", "configmap", "x", "-n", namespace, "--dry-run=server")
    node.apply("{apiVersion: v1, kind: ConfigMap, metadata: {name: kept}, data: {a: b}}", namespace)
    node.kubectl(
        *("apply", "-n", namespace, "--dry-run=server", "-f", "-"),
        stdin="{apiVersion: v1, kind: ConfigMap, metadata: {name: kept}, data: {a: c}}",
    )
    names = {obj["metadata"]["name"]: obj.get("data") for obj in node.list("configmaps", namespace)}
    assert "x" not in names and names["kept"] == {"a": "b"}


def test_apply_three_ways(node: Node, namespace: str) -> None:
    """What was applied and is no longer in the manifest goes; what others set stays."""
    node.apply("{apiVersion: v1, kind: ConfigMap, metadata: {name: kept}, data: {a: '1', b: '2'}}", namespace)
    node.kubectl("patch", "configmap", "kept", "-n", namespace, "-p", '{"data":{"c":"3"}}')
    node.apply("{apiVersion: v1, kind: ConfigMap, metadata: {name: kept}, data: {a: '1'}}", namespace)
    assert node.get("configmap", "kept", namespace)["data"] == {"a": "1", "c": "3"}


def test_kubectl_finds_its_way_around(node: Node, namespace: str) -> None:
    assert "restartPolicy" in node.kubectl("explain", "pod.spec").out
    assert "deployments" in node.kubectl("api-resources").out
    assert "v1.35.0" in node.kubectl("version").out
    assert "ownerReferences" in node.kubectl("explain", "deployment.metadata", "--recursive").out
    assert node.kubectl("auth", "whoami").out.count("kubernetes-admin") == 1
    assert "KubeletReady" in node.kubectl("describe", "nodes").out
    node.kubectl("run", "p", "--image=busybox", "-n", namespace, "--", "sleep", "infinity")
    node.wait_ready("pod/p", namespace)
    described = node.kubectl("describe", "pod", "p", "-n", namespace).out
    assert "Successfully assigned" in described and "Started container" in described
    assert "pod/p " in node.kubectl("get", "all", "-n", namespace).out
