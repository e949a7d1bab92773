"""A Pod's life: hooks, restarts, init containers, last words, deletion."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from kubernetes import client, watch

from harness.conformance import conforms
from harness.node import eventually
from harness.scene import Scene, box, condition, is_ready, pod

SERVE = "cd /tmp && touch poststart prestop write && exec python3.11 -u -m http.server 8080"


@pytest.fixture
def listener(scene: Scene) -> Iterator[str]:
    """The address of a Pod, `listener`, whose log tells what it was asked."""
    probe = {"httpGet": {"port": 8080}, "periodSeconds": 1}
    ready = scene.ready(pod("listener", box(SERVE, image="toolbox", readinessProbe=probe)))
    yield str(ready.status.pod_ip)


def asked(scene: Scene, path: str) -> bool:
    return f"GET {path} " in scene.log("listener")


@conforms(
    "[sig-node] Container Lifecycle Hook when create a pod with lifecycle hook should execute poststart exec hook properly [NodeConformance]"
)
def test_post_start_command(scene: Scene, listener: str) -> None:
    command = ["sh", "-c", f"curl -s http://{listener}:8080/poststart"]
    hook = {"postStart": {"exec": {"command": command}}}
    scene.ready(pod("p", box("sleep 60", image="toolbox", lifecycle=hook)))
    assert asked(scene, "/poststart")


@conforms(
    "[sig-node] Container Lifecycle Hook when create a pod with lifecycle hook should execute prestop exec hook properly [NodeConformance]"
)
def test_pre_stop_command(scene: Scene, listener: str) -> None:
    command = ["sh", "-c", f"curl -s http://{listener}:8080/prestop"]
    hook = {"preStop": {"exec": {"command": command}}}
    manifest = pod("p", box("sleep 60", image="toolbox", lifecycle=hook), terminationGracePeriodSeconds=10)
    scene.ready(manifest)
    scene.core.delete_namespaced_pod("p", scene.namespace)
    eventually(lambda: asked(scene, "/prestop"))


@conforms(
    "[sig-node] Container Lifecycle Hook when create a pod with lifecycle hook should execute poststart http hook properly [NodeConformance]"
)
def test_post_start_request(scene: Scene, listener: str) -> None:
    hook = {"postStart": {"httpGet": {"path": "/poststart", "host": listener, "port": 8080}}}
    scene.ready(pod("p", box("sleep 60", lifecycle=hook)))
    assert asked(scene, "/poststart")


@conforms(
    "[sig-node] Container Lifecycle Hook when create a pod with lifecycle hook should execute prestop http hook properly [NodeConformance]"
)
def test_pre_stop_request(scene: Scene, listener: str) -> None:
    hook = {"preStop": {"httpGet": {"path": "/prestop", "host": listener, "port": 8080}}}
    scene.ready(pod("p", box("sleep 60", lifecycle=hook), terminationGracePeriodSeconds=10))
    scene.core.delete_namespaced_pod("p", scene.namespace)
    eventually(lambda: asked(scene, "/prestop"))


@conforms("[sig-node] PreStop should call prestop when killing a pod")
def test_pre_stop_runs_before_the_pod_goes(scene: Scene, listener: str) -> None:
    command = ["curl", "-s", f"http://{listener}:8080/write?prestop"]
    hook = {"preStop": {"exec": {"command": command}}}
    manifest = pod("p", box("sleep 60", image="toolbox", lifecycle=hook), terminationGracePeriodSeconds=10)
    scene.ready(manifest)
    scene.core.delete_namespaced_pod("p", scene.namespace, grace_period_seconds=2)
    scene.gone("p")
    assert asked(scene, "/write?prestop")


@pytest.mark.parametrize(
    ("command", "fields", "phase", "message"),
    [
        pytest.param(
            "echo DONE; exit 0",
            {},
            "Succeeded",
            None,
            marks=conforms(
                "[sig-node] Container Runtime blackbox test on terminated container should report termination message as empty when pod succeeds and TerminationMessagePolicy FallbackToLogsOnError is set [NodeConformance]"
            ),
        ),
        pytest.param(
            "echo -n OK > /dev/termination-log; echo DONE",
            {},
            "Succeeded",
            "OK",
            marks=conforms(
                "[sig-node] Container Runtime blackbox test on terminated container should report termination message from file when pod succeeds and TerminationMessagePolicy FallbackToLogsOnError is set [NodeConformance]"
            ),
        ),
        pytest.param(
            "echo -n DONE; exit 1",
            {},
            "Failed",
            "DONE",
            marks=conforms(
                "[sig-node] Container Runtime blackbox test on terminated container should report termination message from log output if TerminationMessagePolicy FallbackToLogsOnError is set [NodeConformance]"
            ),
        ),
        pytest.param(
            "echo -n DONE > /dev/termination-custom-log",
            {
                "terminationMessagePath": "/dev/termination-custom-log",
                "terminationMessagePolicy": "File",
                "securityContext": {"runAsUser": 1000},
            },
            "Succeeded",
            "DONE",
            marks=conforms(
                "[sig-node] Container Runtime blackbox test on terminated container should report termination message if TerminationMessagePath is set as non-root user and at a non-default path [NodeConformance]"
            ),
        ),
    ],
)
def test_last_words(
    scene: Scene, command: str, fields: dict[str, Any], phase: str, message: str | None
) -> None:
    settings = {"terminationMessagePolicy": "FallbackToLogsOnError", **fields}
    scene.finished(pod("p", box(command, **settings)), phase)
    (status,) = scene.get("p").status.container_statuses
    assert status.state.terminated.message == message


@conforms("[sig-node] InitContainer [NodeConformance] should invoke init containers on a RestartAlways pod")
def test_init_containers_of_a_pod_that_stays(scene: Scene) -> None:
    init = [box("true", name="init1"), box("true", name="init2")]
    seen = scene.ready(pod("p", box("sleep 60"), initContainers=init, restartPolicy="Always"))
    assert seen.status.phase == "Running"
    assert condition(seen, "Initialized").status == "True"
    for status in seen.status.init_container_statuses:
        assert status.ready and status.state.terminated.exit_code == 0


@conforms("[sig-node] InitContainer [NodeConformance] should invoke init containers on a RestartNever pod")
def test_init_containers_of_a_pod_that_ends(scene: Scene) -> None:
    scene.finished(pod("p", box("true"), initContainers=[box("true", name="i1"), box("true", name="i2")]))
    seen = scene.get("p")
    assert condition(seen, "Initialized").status == "True"
    statuses = [*seen.status.init_container_statuses, *seen.status.container_statuses]
    assert [(status.state.terminated.exit_code, status.restart_count) for status in statuses] == [(0, 0)] * 3


@conforms(
    "[sig-node] InitContainer [NodeConformance] should not start app containers and fail the pod if init containers fail on a RestartNever pod"
)
def test_a_failed_init_container_fails_a_pod_that_never_restarts(scene: Scene) -> None:
    init = [box("true", name="init1"), box("false", name="init2")]
    scene.create(pod("p", box("true", name="run1"), initContainers=init))
    seen = scene.until("p", lambda seen: seen.status.phase == "Failed")
    initialized = condition(seen, "Initialized")
    assert (initialized.status, initialized.reason) == ("False", "ContainersNotInitialized")
    assert initialized.message == "containers with incomplete status: [init2]"
    (status,) = seen.status.container_statuses
    assert status.state.waiting.reason == "PodInitializing"


@conforms(
    "[sig-node] Kubelet when scheduling a busybox command in a pod should print the output to logs [NodeConformance]"
)
def test_output_goes_to_the_log(scene: Scene) -> None:
    log = scene.finished(pod("p", box("echo out; echo err >&2")))
    assert sorted(log.splitlines()) == ["err", "out"]


@conforms(
    "[sig-node] Kubelet when scheduling a busybox command that always fails in a pod should have an terminated reason [NodeConformance]"
)
def test_a_failed_command_has_a_reason(scene: Scene) -> None:
    scene.create(pod("p", box("false")))
    seen = scene.until("p", lambda seen: seen.status.phase == "Failed")
    (status,) = seen.status.container_statuses
    assert status.state.terminated.reason == "Error"


@conforms(
    "[sig-node] Kubelet when scheduling a busybox command that always fails in a pod should be possible to delete [NodeConformance]"
)
def test_a_failed_pod_is_deleted(scene: Scene) -> None:
    scene.create(pod("p", box("false"), restartPolicy="Always"))
    scene.until(
        "p", lambda seen: seen.status.container_statuses and seen.status.container_statuses[0].restart_count
    )
    scene.core.delete_namespaced_pod("p", scene.namespace)
    scene.gone("p")


@conforms(
    "[sig-node] Kubelet when scheduling an agnhost Pod with hostAliases should write entries to /etc/hosts [NodeConformance]"
)
def test_host_aliases(scene: Scene) -> None:
    aliases = [{"ip": "123.45.67.89", "hostnames": ["foo", "bar"]}]
    assert "123.45.67.89\tfoo\tbar" in scene.finished(pod("p", box("cat /etc/hosts"), hostAliases=aliases))


@conforms("[sig-node] KubeletManagedEtcHosts should test kubelet managed /etc/hosts file [NodeConformance]")
def test_who_writes_the_hosts_file(scene: Scene) -> None:
    managed = "# Kubernetes-managed hosts file."
    volume = {"name": "hosts", "hostPath": {"path": "/etc/hosts", "type": "File"}}
    own = box("cat /etc/hosts", name="own", volumeMounts=[{"name": "hosts", "mountPath": "/etc/hosts"}])
    scene.finished(pod("p", box("cat /etc/hosts", name="theirs"), own, volumes=[volume]), container="own")
    assert scene.log("p", "theirs").startswith(managed)
    assert managed not in scene.log("p", "own")
    # With the node's network the file is the node's, which upstream says in other words.
    assert managed not in scene.finished(pod("host", box("cat /etc/hosts"), hostNetwork=True))


@conforms(
    "[sig-node] Pods Extended Pods Set QOS Class should be set on Pods with matching resource requests and limits for memory and cpu"
)
def test_quality_of_service(scene: Scene) -> None:
    same = {"cpu": "100m", "memory": "100Mi"}
    made = scene.create(pod("p", box("true", resources={"requests": same, "limits": same})))
    assert made.status.qos_class == "Guaranteed"


@conforms("[sig-node] Pods should allow activeDeadlineSeconds to be updated [NodeConformance]")
def test_a_deadline_set_while_it_runs(scene: Scene) -> None:
    scene.ready(pod("p", box("sleep 60"), labels={"of": "deadline"}, restartPolicy="Always"))
    (found,) = scene.core.list_namespaced_pod(scene.namespace, label_selector="of=deadline").items
    change = {"spec": {"activeDeadlineSeconds": 1}}
    scene.core.patch_namespaced_pod(found.metadata.name, scene.namespace, change)
    ended = scene.until("p", lambda seen: seen.status.phase == "Failed")
    assert ended.status.reason == "DeadlineExceeded"


@conforms("[sig-node] Pods should be submitted and removed [NodeConformance]")
def test_a_pod_comes_and_goes(scene: Scene) -> None:
    labels, selected = {"of": "life"}, {"label_selector": "of=life"}
    scene.create(pod("p", box("sleep 60"), labels=labels, restartPolicy="Always"))
    listed = scene.core.list_namespaced_pod(scene.namespace, **selected)
    assert len(listed.items) == 1
    seen: queue.Queue[Any] = queue.Queue()
    events = watch.Watch()

    def follow() -> None:
        options = {"resource_version": listed.metadata.resource_version, "timeout_seconds": 20, **selected}
        for event in events.stream(scene.core.list_namespaced_pod, scene.namespace, **options):
            seen.put(event)
            if event["type"] == "DELETED":
                events.stop()

    thread = threading.Thread(target=follow)
    thread.start()
    scene.until("p", is_ready)
    scene.core.delete_namespaced_pod("p", scene.namespace)
    thread.join(20)
    told = [seen.get_nowait() for _ in range(seen.qsize())]
    assert told[-1]["type"] == "DELETED"
    assert any(event["type"] == "MODIFIED" and event["object"].metadata.deletion_timestamp for event in told)
    assert not scene.core.list_namespaced_pod(scene.namespace, **selected).items


@conforms("[sig-node] Pods should be updated [NodeConformance]")
def test_a_label_is_changed(scene: Scene) -> None:
    scene.create(pod("p", box("sleep 60"), labels={"time": "1"}))
    made = scene.core.list_namespaced_pod(scene.namespace, label_selector="time=1").items[0]
    scene.core.patch_namespaced_pod(
        made.metadata.name, scene.namespace, {"metadata": {"labels": {"time": "2"}}}
    )
    assert len(scene.core.list_namespaced_pod(scene.namespace, label_selector="time=2").items) == 1


@conforms("[sig-node] Pods should delete a collection of pods")
def test_a_collection_of_pods_is_deleted(scene: Scene) -> None:
    for name in ("one", "two", "three"):
        scene.create(pod(name, box("sleep 60"), labels={"of": "many"}))
    assert len(scene.core.list_namespaced_pod(scene.namespace, label_selector="of=many").items) == 3
    scene.core.delete_collection_namespaced_pod(
        scene.namespace, label_selector="of=many", grace_period_seconds=0
    )
    eventually(lambda: not scene.core.list_namespaced_pod(scene.namespace, label_selector="of=many").items)


@conforms("[sig-node] Pods should get a host IP [NodeConformance]")
def test_a_pod_knows_its_nodes_address(scene: Scene) -> None:
    seen = scene.ready(pod("p", box("sleep 60")))
    assert seen.status.host_ip.count(".") == 3
    assert seen.status.host_i_ps[0].ip == seen.status.host_ip


@conforms("[sig-node] Pods should patch a pod status")
def test_a_status_is_patched(scene: Scene) -> None:
    scene.ready(pod("p", box("sleep 60")))
    gate = {"type": "example.com/checked", "status": "True", "reason": "Looked"}
    change = {"status": {"conditions": [gate], "message": "Patched by a test", "reason": "Test"}}
    answer = scene.core.patch_namespaced_pod_status("p", scene.namespace, change)
    for seen in (answer, scene.get("p")):
        found = condition(seen, "example.com/checked")
        assert (found.status, found.reason) == ("True", "Looked")
    # The node has a reason of its own as soon as it has something to say.
    assert (answer.status.message, answer.status.reason) == ("Patched by a test", "Test")


@conforms("[sig-node] Pods should run through the lifecycle of Pods and PodStatus")
def test_life_of_a_pod_and_its_status(scene: Scene) -> None:
    core, namespace = scene.core, scene.namespace
    scene.ready(pod("p", box("sleep 60"), labels={"static": namespace}, restartPolicy="Always"))
    change = {
        "metadata": {"labels": {"changed": "yes"}},
        "spec": {"containers": [{"name": "c", "image": "busybox:1.36"}]},
    }
    core.patch_namespaced_pod("p", namespace, change)
    (found,) = core.list_pod_for_all_namespaces(label_selector=f"static={namespace}").items
    assert found.metadata.labels["changed"] == "yes"
    assert found.spec.containers[0].image == "busybox:1.36"

    def replaced() -> bool:
        seen = core.read_namespaced_pod_status("p", namespace)
        extra = {"type": "example.com/seen", "status": "False"}
        seen.status.conditions.append(extra)
        try:
            answer = core.replace_namespaced_pod_status("p", namespace, seen)
        except client.ApiException as error:
            assert error.status == 409
            return False
        return condition(answer, "example.com/seen") is not None

    eventually(replaced)
    core.delete_collection_namespaced_pod(
        namespace, label_selector=f"static={namespace}", grace_period_seconds=1
    )
    scene.gone("p")


@conforms(
    "[sig-node] Ephemeral Containers [NodeConformance] will start an ephemeral container in an existing pod"
)
def test_an_ephemeral_container_starts(scene: Scene) -> None:
    scene.ready(pod("p", box("sleep 60")))
    change = {"spec": {"ephemeralContainers": [box("echo hello; sleep 60", name="debugger")]}}
    scene.core.patch_namespaced_pod_ephemeralcontainers("p", scene.namespace, change)
    scene.until("p", lambda seen: ephemeral(seen, "debugger"))
    eventually(lambda: "hello" in scene.log("p", "debugger"))


@conforms(
    "[sig-node] Ephemeral Containers [NodeConformance] should update the ephemeral containers in an existing pod"
)
def test_more_ephemeral_containers(scene: Scene) -> None:
    scene.ready(pod("p", box("sleep 60")))
    first = box("sleep 60", name="debugger")
    scene.core.patch_namespaced_pod_ephemeralcontainers(
        "p", scene.namespace, {"spec": {"ephemeralContainers": [first]}}
    )
    scene.until("p", lambda seen: ephemeral(seen, "debugger"))
    seen = scene.get("p")
    assert len(seen.spec.ephemeral_containers) == 1
    second = client.V1EphemeralContainer(name="debugger2", image="busybox", command=["sleep", "60"])
    seen.spec.ephemeral_containers.append(second)
    scene.core.replace_namespaced_pod_ephemeralcontainers("p", scene.namespace, seen)
    scene.until("p", lambda seen: ephemeral(seen, "debugger2"))
    assert len(scene.get("p").spec.ephemeral_containers) == 2


def ephemeral(seen: client.V1Pod, name: str) -> bool:
    return any(
        status.name == name and status.state.running
        for status in seen.status.ephemeral_container_statuses or ()
    )


@conforms("[sig-node] NoExecuteTaintManager Single Pod [Serial] removing taint cancels eviction [Disruptive]")
def test_a_taint_that_goes_in_time(scene: Scene) -> None:
    with Tainted(scene, "evict-cancelled"):
        scene.ready(pod("p", box("sleep 60"), tolerations=[tolerates("evict-cancelled", 8)]))
        ready_s = time.monotonic()
    time.sleep(max(ready_s + 8 - time.monotonic(), 0))
    assert scene.get("p").metadata.deletion_timestamp is None


@conforms(
    "[sig-node] NoExecuteTaintManager Multiple Pods [Serial] evicts pods with minTolerationSeconds [Disruptive]"
)
def test_pods_leave_a_tainted_node_when_their_time_is_over(scene: Scene) -> None:
    with Tainted(scene, "evict-many") as tainted_s:
        for name, seconds in (("soon", 1), ("later", 3)):
            scene.create(pod(name, box("sleep 60"), tolerations=[tolerates("evict-many", seconds)]))
        scene.gone("soon")
        scene.gone("later")
        assert time.monotonic() - tainted_s >= 3


class Tainted:
    """The node with a NoExecute taint, as long as it is entered; gives the time it began."""

    def __init__(self, scene: Scene, key: str) -> None:
        self._core, self._key = scene.core, key
        self._name = self._core.list_node().items[0].metadata.name

    def __enter__(self) -> float:
        self._set({"key": self._key, "value": "yes", "effect": "NoExecute"})
        return time.monotonic()

    def __exit__(self, *_: object) -> None:
        self._set()

    def _set(self, *taints: dict[str, str]) -> None:
        kept = [t.to_dict() for t in self._core.read_node(self._name).spec.taints or () if t.key != self._key]
        self._core.patch_node(self._name, {"spec": {"taints": [*kept, *taints]}})


def tolerates(key: str, seconds: int) -> dict[str, Any]:
    return {
        "key": key,
        "operator": "Equal",
        "value": "yes",
        "effect": "NoExecute",
        "tolerationSeconds": seconds,
    }


@conforms("[sig-node] Node Lifecycle should run through the lifecycle of a node")
def test_life_of_a_node_object(scene: Scene) -> None:
    core, name = scene.core, f"fake-{scene.namespace}"
    core.create_node({"metadata": {"name": name, "labels": {"fake": scene.namespace}}})
    assert core.read_node(name).metadata.name == name
    core.patch_node(name, {"metadata": {"labels": {"patched": "yes"}}})
    (found,) = core.list_node(label_selector=f"fake={scene.namespace}").items
    assert found.metadata.labels["patched"] == "yes"

    def updated() -> bool:
        seen = core.read_node(name)
        seen.metadata.labels["updated"] = "yes"
        try:
            return bool(core.replace_node(name, seen).metadata.labels["updated"] == "yes")
        except client.ApiException as error:
            assert error.status == 409
            return False

    eventually(updated)
    core.delete_node(name)
    assert not core.list_node(label_selector=f"fake={scene.namespace}").items
