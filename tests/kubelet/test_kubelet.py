"""The node agent against fakes: a Pod's whole life, as the API sees it."""

from __future__ import annotations

import asyncio
import errno
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from harness.kubeletworld import World, config_map, make_pod, phase, ready, restarts, running, state, waiting
from sampan.api.errors import StatusError
from sampan.api.objects import Obj, condition_of
from sampan.api.resources import CONFIG_MAPS, EVENTS, LEASES, NODES, PODS
from sampan.api.streams import ExecOptions, LogOptions
from sampan.client.client import Client
from sampan.kubelet import preparation
from sampan.kubelet.images.contract import ImageFault
from sampan.kubelet.runtime.contract import RuntimeFault
from sampan.kubelet.runtime.fake import Process

pytestmark = pytest.mark.virtual_time


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with running(tmp_path) as found:
        yield found


async def test_node_is_registered_ready(world: World) -> None:
    node = world.api.get(NODES, "node")
    assert node is not None
    condition = condition_of(node, "Ready")
    assert condition is not None
    assert (condition["status"], condition["reason"]) == ("True", "KubeletReady")
    assert node["status"]["addresses"] == [
        {"type": "InternalIP", "address": "100.64.0.2"},
        {"type": "Hostname", "address": "node"},
    ]
    await asyncio.sleep(0.02)
    assert world.api.get(LEASES, "node", "kube-node-lease") is not None


async def test_pod_runs_and_says_so(world: World) -> None:
    world.api.add(make_pod())
    pod = await world.until(ready)
    status = pod["status"]
    assert status["phase"] == "Running"
    assert status["podIP"] == "10.244.0.2"
    assert status["podIPs"] == [{"ip": "10.244.0.2"}]
    assert status["hostIP"] == "100.64.0.2"
    assert status["qosClass"] == "BestEffort"
    web = status["containerStatuses"][0]
    assert web["ready"] and web["started"] and web["restartCount"] == 0
    assert web["image"] == "docker.io/library/nginx:latest"
    assert web["imageID"].startswith("docker.io/library/nginx@sha256:")
    assert web["containerID"].startswith("sampan://")
    assert [reason for reason, _ in await world.said()] == ["Pulled", "Created", "Started"]


async def test_events_name_the_container(world: World) -> None:
    """`kubectl describe` and the conformance tests look at it."""

    async def leave(process: Process) -> int:
        return 0

    world.runtime.programs["leave"] = leave
    world.api.add(make_pod(initContainers=[{"name": "first", "command": ["leave"]}]))
    await world.until(ready)
    await world.said()
    paths = [event["involvedObject"].get("fieldPath") for event in world.api.objects(EVENTS)]
    assert paths == ["spec.initContainers{first}"] * 3 + ["spec.containers{web}"] * 3


async def test_fast_start_costs_one_status_write(world: World) -> None:
    world.api.add(make_pod())
    await world.until(ready)
    assert [a.plural for a in world.api.actions].count("pods/status") == 1


async def test_deletion_drains_before_sigterm_and_leaves_nothing(world: World) -> None:
    world.api.add(make_pod())
    await world.until(ready)
    await world.delete()
    await world.until_gone()
    assert world.drains == [("web", False)]
    assert world.runtime.sandboxes() == [] and world.runtime.records() == []
    assert world.network.attached == {}
    assert [verb for verb, _ in world.runtime.actions if verb.startswith("SIG")] == ["SIGTERM"]
    await asyncio.sleep(0.01)
    assert list((world.root / "pods").iterdir()) == []
    assert ("Killing", "Stopping container web") in await world.said()


async def test_stubborn_process_is_killed_after_grace(world: World) -> None:
    async def stubborn(process: Process) -> int:
        process.ignored.add(signal.SIGTERM)
        await asyncio.sleep(60)
        return 0

    world.runtime.programs["nginx"] = stubborn
    world.api.add(make_pod())
    await world.until(ready)
    await world.delete(grace_s=1)
    await world.until_gone(within_s=5)
    assert [verb for verb, _ in world.runtime.actions if verb.startswith("SIG")] == ["SIGTERM", "SIGKILL"]


async def test_crash_is_restarted_at_once_then_backs_off(world: World) -> None:
    world.api.add(make_pod(containers=[{"name": "web", "command": ["exit", "3"]}]))
    pod = await world.until(waiting("CrashLoopBackOff"))
    web = pod["status"]["containerStatuses"][0]
    uid = pod["metadata"]["uid"]
    assert web["restartCount"] == 1
    assert web["lastState"]["terminated"]["exitCode"] == 3
    assert web["lastState"]["terminated"]["reason"] == "Error"
    assert (
        web["state"]["waiting"]["message"]
        == f"back-off 10s restarting failed container=web pod=web_default({uid})"
    )
    assert pod["status"]["phase"] == "Running"
    text = f"Back-off restarting failed container web in pod web_default({uid})"
    assert ("BackOff", text) in await world.said()


@pytest.mark.parametrize(
    ("policy", "code", "wanted"),
    [("Never", 0, "Succeeded"), ("Never", 2, "Failed"), ("OnFailure", 0, "Succeeded")],
)
async def test_finished_pod_keeps_its_words_and_frees_its_address(
    world: World, policy: str, code: int, wanted: str
) -> None:
    async def program(process: Process) -> int:
        process.write("done\n")
        return code

    world.runtime.programs["job"] = program
    world.api.add(make_pod(restartPolicy=policy, containers=[{"name": "web", "command": ["job"]}]))
    pod = await world.until(phase(wanted))
    terminated = state(pod)["terminated"]
    assert terminated["exitCode"] == code
    assert terminated["reason"] == ("Completed" if code == 0 else "Error")
    reason = "PodCompleted" if wanted == "Succeeded" else "PodFailed"
    assert condition_of(pod, "Ready")["reason"] == reason  # type: ignore[index]
    await world.until(lambda pod: not world.network.attached)
    assert await read_log(world, pod, LogOptions()) == b"done\n"
    await world.delete(grace_s=0)
    await world.until_gone()


async def test_init_containers_run_in_order_then_the_rest(world: World) -> None:
    order: list[str] = []

    async def note(process: Process) -> int:
        order.append(process.spec.name)
        await asyncio.sleep(0.01)
        return 0

    world.runtime.programs["note"] = note
    init = [{"name": name, "command": ["note"]} for name in ("one", "two")]
    world.api.add(make_pod(initContainers=init))
    pod = await world.until(ready)
    assert order == ["one", "two"]
    assert [s["ready"] for s in pod["status"]["initContainerStatuses"]] == [True, True]


async def test_failing_init_container_fails_the_pod_that_never_restarts(world: World) -> None:
    init = [{"name": "one", "command": ["true"]}, {"name": "two", "command": ["false"]}]
    world.api.add(make_pod(restartPolicy="Never", initContainers=init))
    pod = await world.until(phase("Failed"))
    initialized = condition_of(pod, "Initialized")
    assert initialized is not None
    assert initialized["reason"] == "ContainersNotInitialized"
    assert initialized["message"] == "containers with incomplete status: [two]"
    assert state(pod) == {"waiting": {"reason": "PodInitializing"}}


async def test_image_that_does_not_exist(world: World) -> None:
    world.api.add(make_pod(containers=[{"name": "web", "image": "nosuch"}]))
    pod = await world.until(waiting("ErrImagePull"))
    assert "not found" in state(pod)["waiting"]["message"]
    pod = await world.until(waiting("ImagePullBackOff"), within_s=4)
    message = state(pod)["waiting"]["message"]
    assert message.startswith('Back-off pulling image "nosuch": ErrImagePull: failed to pull')
    assert world.images.pulls == ["docker.io/library/nosuch:latest"]
    said = await world.said()
    for expected in (("Pulling", 'Pulling image "nosuch"'), ("Failed", "Error: ErrImagePull")):
        assert expected in said
    await world.delete()
    await world.until_gone()


async def test_bad_image_name(world: World) -> None:
    world.images.fail("bad", ImageFault("InvalidImageName", "no"))
    world.api.add(make_pod(containers=[{"name": "web", "image": "bad"}]))
    await world.until(waiting("InvalidImageName"))


async def test_deleted_while_pulling(world: World) -> None:
    world.images.hold("slow")
    world.api.add(make_pod(containers=[{"name": "web", "image": "slow"}]))
    await world.until(phase("Pending"))
    await world.delete()
    await world.until_gone()
    assert world.network.attached == {}


async def test_missing_config_map_and_its_coming(world: World) -> None:
    env = [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "a"}}}]
    world.api.add(make_pod(containers=[{"name": "web", "env": env}]))
    pod = await world.until(waiting("CreateContainerConfigError"))
    assert state(pod)["waiting"]["message"] == 'configmap "settings" not found'
    world.api.add(config_map("settings", a="1"))
    await world.until(ready)
    assert world.runtime.records()[0].spec.env["A"] == "1"


async def test_a_disk_that_was_full_for_a_moment(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    full = [OSError(errno.ENOSPC, "No space left on device")]
    write = preparation._write_files

    def fails_once(*words: Any) -> None:
        if full:
            raise full.pop()
        write(*words)

    monkeypatch.setattr(preparation, "_write_files", fails_once)
    world.api.add(make_pod())
    await world.until(ready)
    told = "Failed to create pod sandbox: [Errno 28] No space left on device"
    assert ("FailedCreatePodSandBox", told) in await world.said()


async def test_volume_follows_its_config_map(world: World) -> None:
    volumes = [{"name": "conf", "configMap": {"name": "settings"}}]
    mounts = [{"name": "conf", "mountPath": "/conf"}]
    world.api.add(make_pod(volumes=volumes, containers=[{"name": "web", "volumeMounts": mounts}]))
    await asyncio.sleep(0.05)
    pod = world.pod()
    assert pod is not None and waiting("ContainerCreating")(pod)
    text = 'MountVolume.SetUp failed for volume "conf" : configmap "settings" not found'
    assert ("FailedMount", text) in await world.said()
    world.api.add(config_map("settings", a="1"))
    pod = await world.until(ready)
    file = world.root / "pods" / pod["metadata"]["uid"] / "volumes.d/kubernetes.io~objects/conf/a"
    assert file.read_text() == "1"
    await Client(world.api).patch(CONFIG_MAPS, "settings", {"data": {"a": "2"}}, namespace="default")
    for _ in range(100):
        if file.read_text() == "2":
            break
        await asyncio.sleep(0.005)
    assert file.read_text() == "2"


async def test_volume_catches_up_after_a_restart(world: World) -> None:
    world.api.add(config_map("settings", a="1"))
    volumes = [{"name": "conf", "configMap": {"name": "settings"}}]
    mounts = [{"name": "conf", "mountPath": "/conf"}]
    world.api.add(make_pod(volumes=volumes, containers=[{"name": "web", "volumeMounts": mounts}]))
    pod = await world.until(ready)
    file = world.root / "pods" / pod["metadata"]["uid"] / "volumes.d/kubernetes.io~objects/conf/a"
    await world.stop()
    await Client(world.api).patch(CONFIG_MAPS, "settings", {"data": {"a": "2"}}, namespace="default")
    world.start()
    await world.comes_true(lambda: file.read_text() == "2")


async def test_command_that_does_not_exist(world: World) -> None:
    fault = RuntimeFault("RunContainerError", "executable file `nope` not found in $PATH")
    world.runtime.fail("create", fault)
    world.api.add(make_pod(restartPolicy="Never"))
    pod = await world.until(phase("Failed"))
    terminated = state(pod)["terminated"]
    assert (terminated["reason"], terminated["exitCode"]) == ("StartError", 128)
    assert "nope" in terminated["message"]


async def test_readiness_probe_decides(world: World) -> None:
    healthy = False

    async def check(process: Process) -> int:
        process.write("not yet\n")
        return 0 if healthy else 1

    world.runtime.programs["check"] = check
    probe = {"exec": {"command": ["check"]}, "periodSeconds": 1}
    world.api.add(make_pod(containers=[{"name": "web", "readinessProbe": probe}]))
    pod = await world.until(phase("Running"))
    assert not ready(pod)
    condition = condition_of(pod, "ContainersReady")
    assert condition is not None
    assert condition["message"] == "containers with unready status: [web]"
    deadline = time.monotonic() + 3
    while ("Unhealthy", "Readiness probe failed: not yet\n") not in await world.said():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)
    healthy = True
    await world.until(ready)


async def test_liveness_failure_restarts(world: World) -> None:
    probe = {"exec": {"command": ["false"]}, "periodSeconds": 1, "failureThreshold": 1}
    world.api.add(make_pod(containers=[{"name": "web", "livenessProbe": probe}]))
    await world.until(lambda pod: restarts(pod) >= 1)
    assert ("Killing", "Container web failed liveness probe, will be restarted") in await world.said()


async def test_restarted_kubelet_adopts(world: World) -> None:
    world.api.add(make_pod("a"), make_pod("b", hostNetwork=True), make_pod("c"))
    for name in "abc":
        await world.until(ready, name)
    before = {record.spec.id for record in world.runtime.records()}
    ips = {name: world.pod(name)["status"]["podIP"] for name in "abc"}  # type: ignore[index]
    await world.stop()
    world.api.remove(PODS, "c", "default")
    writes = len(world.api.actions)
    world.start()
    await asyncio.sleep(0.1)
    after = {record.spec.id for record in world.runtime.records()}
    assert after < before and len(after) == 2
    assert len(world.network.attached) == 1
    for name in "ab":
        pod = world.pod(name)
        assert pod is not None and ready(pod)
        assert pod["status"]["podIP"] == ips[name]
    assert "pods/status" not in [action.plural for action in world.api.actions[writes:]]
    await world.delete(name="a")
    await world.until_gone("a")


async def test_volumes_left_half_made_go_when_their_pod_is_gone(world: World) -> None:
    """By a process that was shot before it had made a sandbox."""
    await world.stop()
    left = world.kubelet.config.pods / "nobody" / "volumes.d" / "kubernetes.io~empty-dir" / "v"
    left.mkdir(parents=True)
    world.start()
    await world.comes_true(lambda: not left.parents[2].exists())


async def test_exit_while_the_kubelet_was_away(world: World) -> None:
    world.api.add(make_pod())
    await world.until(ready)
    await world.stop()
    world.runtime.finish(world.runtime.records()[0].spec.id, 137, oom=True)
    world.start()
    pod = await world.until(lambda pod: restarts(pod) == 1)
    pod = await world.until(ready)
    last = pod["status"]["containerStatuses"][0]["lastState"]["terminated"]
    assert (last["reason"], last["exitCode"]) == ("OOMKilled", 137)


async def test_log_of_the_previous_attempt(world: World) -> None:
    async def crash(process: Process) -> int:
        process.write(f"attempt {process.spec.attempt}\n")
        return 1

    world.runtime.programs["crash"] = crash
    world.api.add(make_pod(containers=[{"name": "web", "command": ["crash"]}]))
    pod = await world.until(waiting("CrashLoopBackOff"))
    assert await read_log(world, pod, LogOptions()) == b"attempt 1\n"
    assert await read_log(world, pod, LogOptions(previous=True)) == b"attempt 1\n"


async def test_container_that_was_created_only_is_made_anew(world: World) -> None:
    held = asyncio.Event()
    start = world.runtime.start

    async def hang(container_id: str) -> Any:
        await held.wait()
        return await start(container_id)

    world.runtime.start = hang  # type: ignore[method-assign]
    world.api.add(make_pod())
    for _ in range(100):
        if world.runtime.records():
            break
        await asyncio.sleep(0.005)
    first = world.runtime.records()[0].spec.id
    await world.stop()
    world.runtime.start = start  # type: ignore[method-assign]
    world.start()
    await world.until(ready)
    assert [record.spec.id for record in world.runtime.records()] != [first]
    assert len(world.runtime.records()) == 1


async def test_reboot_counts_on(world: World) -> None:
    world.api.add(make_pod())
    before = await world.until(ready)
    await world.stop()
    await world.runtime.remove_sandbox(before["metadata"]["uid"])
    world.start()
    await world.until(lambda pod: restarts(pod) == 1 and ready(pod))


async def test_restarts_count_on_when_only_the_newest_container_was_lost(world: World) -> None:
    world.api.add(make_pod())
    await world.until(ready)
    world.runtime.finish(world.runtime.records()[0].spec.id, 1)
    await world.until(lambda pod: restarts(pod) == 1 and ready(pod))
    await world.stop()
    newest = max(world.runtime.records(), key=lambda record: record.spec.attempt)
    await world.runtime.remove(newest.spec.id)
    assert world.runtime.records()
    world.start()
    await world.until(lambda pod: restarts(pod) == 2)


async def test_service_account_token_and_labels_are_kept_up_to_date(world: World) -> None:
    sources = [
        {"serviceAccountToken": {"path": "token"}},
        {"downwardAPI": {"items": [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]}},
    ]
    world.api.add(
        {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {"name": "default", "namespace": "default"},
        }
    )
    mounts = [{"name": "api", "mountPath": "/api"}]
    volumes = [{"name": "api", "projected": {"sources": sources}}]
    world.api.add(make_pod(volumes=volumes, containers=[{"name": "web", "volumeMounts": mounts}]))
    pod = await world.until(ready)
    volume = world.root / "pods" / pod["metadata"]["uid"] / "volumes.d/kubernetes.io~objects/api"
    assert (volume / "token").read_text() == "token-of-default"
    assert str(volume.parent) in world.mounter.tmpfses
    await Client(world.api).patch(PODS, "web", {"metadata": {"labels": {"a": "b"}}}, namespace="default")
    for _ in range(100):
        if (volume / "labels").read_text() == 'a="b"':
            break
        await asyncio.sleep(0.005)
    assert (volume / "labels").read_text() == 'a="b"'
    await world.delete()
    await world.until_gone()
    assert world.mounter.tmpfses == {}


async def test_post_start_comes_before_ready_and_its_failure_kills(world: World) -> None:
    gate = asyncio.Event()

    async def hook(process: Process) -> int:
        await gate.wait()
        return 1

    world.runtime.programs["hook"] = hook
    lifecycle = {"postStart": {"exec": {"command": ["hook"]}}}
    world.api.add(make_pod(containers=[{"name": "web", "lifecycle": lifecycle}]))
    await asyncio.sleep(0.1)
    pod = world.pod()
    assert pod is not None
    assert state(pod) == {"waiting": {"reason": "ContainerCreating"}}
    gate.set()
    await world.until(lambda pod: restarts(pod) >= 1)
    assert "FailedPostStartHook" in [reason for reason, _ in await world.said()]


async def test_force_deleted_pod_is_cleaned_up(world: World) -> None:
    world.api.add(make_pod())
    await world.until(ready)
    world.api.remove(PODS, "web", "default")
    for _ in range(200):
        if not world.network.attached:
            break
        await asyncio.sleep(0.005)
    assert world.network.attached == {} and world.runtime.sandboxes() == []


async def test_pod_with_the_same_name_is_another(world: World) -> None:
    world.api.add(make_pod())
    first = await world.until(ready)
    world.api.remove(PODS, "web", "default")
    world.api.add(make_pod())
    second = await world.until(ready)
    assert first["metadata"]["uid"] != second["metadata"]["uid"]


async def test_pre_stop_runs_before_the_signal(world: World) -> None:
    order: list[str] = []

    async def hook(process: Process) -> int:
        order.extend(verb for verb, _ in world.runtime.actions if verb.startswith("SIG"))
        order.append("hook")
        return 0

    world.runtime.programs["hook"] = hook
    lifecycle = {"preStop": {"exec": {"command": ["hook"]}}}
    world.api.add(make_pod(containers=[{"name": "web", "lifecycle": lifecycle}]))
    await world.until(ready)
    await world.delete()
    await world.until_gone()
    assert order == ["hook"]
    assert ("SIGTERM") in [verb for verb, _ in world.runtime.actions]


async def test_active_deadline(world: World) -> None:
    world.api.add(make_pod(activeDeadlineSeconds=1))
    pod = await world.until(phase("Failed"))
    assert pod["status"]["reason"] == "DeadlineExceeded"


async def read_log(world: World, pod: Obj, options: LogOptions) -> bytes:
    return b"".join([chunk async for chunk in await world.kubelet.logs(pod, options)])


async def test_log_is_followed_to_the_end(world: World) -> None:
    async def talk(process: Process) -> int:
        for number in range(5):
            process.write(f"line {number}\n")
            await asyncio.sleep(0.01)
        return 0

    world.runtime.programs["talk"] = talk
    container = {"name": "web", "command": ["talk"]}
    world.api.add(make_pod(restartPolicy="Never", containers=[container]))
    pod = await world.until(lambda pod: "status" in pod)
    text = await asyncio.wait_for(read_log(world, pod, LogOptions(follow=True)), 30)
    assert text == b"".join(b"line %d\n" % number for number in range(5))


async def test_log_of_what_waits_is_refused(world: World) -> None:
    world.images.hold("slow")
    world.api.add(make_pod(containers=[{"name": "web", "image": "slow"}]))
    pod = await world.until(lambda pod: state(pod))
    with pytest.raises(StatusError) as caught:
        await world.kubelet.logs(pod, LogOptions())
    assert caught.value.code == 400
    assert caught.value.message == 'container "web" in pod "web" is waiting to start: ContainerCreating'
    with pytest.raises(StatusError, match='previous terminated container "web" in pod "web" not found'):
        await world.kubelet.logs(pod, LogOptions(previous=True))
    world.images.release("slow")


class Screen:
    """A client that types nothing."""

    def __init__(self) -> None:
        self.out = b""

    async def read_stdin(self) -> bytes:
        return b""

    async def write_stdout(self, data: bytes) -> None:
        self.out += data

    async def write_stderr(self, data: bytes) -> None:
        self.out += data

    async def next_size(self) -> tuple[int, int]:
        return await asyncio.get_running_loop().create_future()


async def test_exec(world: World) -> None:
    world.api.add(make_pod())
    pod = await world.until(ready)
    screen = Screen()
    code = await world.kubelet.exec(pod, ExecOptions(command=["echo", "hi"]), screen)
    assert (code, screen.out) == (0, b"hi\n")
    assert await world.kubelet.exec(pod, ExecOptions(command=["exit", "7"]), screen) == 7


@pytest.mark.virtual_time(False)
async def test_port_forward(world: World) -> None:
    world.api.add(make_pod())
    pod = await world.until(ready)
    server = await asyncio.start_server(lambda r, w: w.write(b"hello"), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    reader, writer = await world.kubelet.port_forward(pod, port)
    assert await reader.readexactly(5) == b"hello"
    writer.close()
    server.close()
    with pytest.raises(StatusError, match="connection refused"):
        await world.kubelet.port_forward(pod, port)


async def test_a_pod_that_does_not_fit_fails_and_takes_no_room(world: World) -> None:
    def asking(name: str, cpu: str) -> Obj:
        resources = {"requests": {"cpu": cpu}}
        return make_pod(name, containers=[{"name": "web", "image": "nginx", "resources": resources}])

    world.api.add(asking("big", "4096"))
    big = await world.until(phase("Failed"), "big")
    assert big["status"]["reason"] == "OutOfcpu"
    words = "Pod was rejected: Node didn't have enough resource: cpu, requested: 4096000, used: 0, capacity: "
    assert big["status"]["message"].startswith(words)
    assert not world.runtime.records()
    world.api.add(asking("small", "100m"))
    await world.until(ready, "small")


async def test_devices_of_the_node_can_be_asked_for(world: World) -> None:
    await asyncio.wait_for(world.kubelet.registered.wait(), 30)
    client = Client(world.api)
    more = {"status": {"capacity": {"example.com/gpu": "2"}}}
    node = await client.patch(NODES, "node", more, subresource="status")
    async with asyncio.timeout(30):
        while "example.com/gpu" not in node["status"]["allocatable"]:
            await asyncio.sleep(0.01)
            node = await client.get(NODES, "node")


def sidecar(name: str, **more: Any) -> Obj:
    return {"name": name, "restartPolicy": "Always", **more}


def signals(world: World) -> list[str]:
    """Which containers were signalled, in order."""
    names = {record.spec.id: record.spec.name for record in world.runtime.records()}
    return [names.get(identity, "") for verb, identity in world.runtime.actions if verb.startswith("SIG")]


async def test_sidecars_start_first_and_end_last(world: World) -> None:
    started = asyncio.Event()

    async def check(process: Process) -> int:
        return 0 if started.is_set() else 1

    world.runtime.programs["check"] = check
    probe = {"exec": {"command": ["check"]}, "periodSeconds": 1, "failureThreshold": 30}
    world.api.add(
        make_pod(
            restartPolicy="Never",
            initContainers=[sidecar("one", startupProbe=probe), sidecar("two")],
            containers=[{"name": "web", "command": ["sleep", "0.3"]}],
        )
    )
    pod = await world.until(lambda pod: "running" in state(pod, "initContainerStatuses"))
    await asyncio.sleep(0.05)
    assert [record.spec.name for record in world.runtime.records()] == ["one"]
    assert pod["status"]["phase"] == "Pending"
    initialized = condition_of(pod, "Initialized")
    assert initialized is not None
    assert initialized["message"] == "containers with incomplete status: [one two]"
    started.set()
    pod = await world.until(ready)
    assert [record.spec.name for record in world.runtime.records()] == ["one", "two", "web"]
    for status in pod["status"]["initContainerStatuses"]:
        assert status["started"] and status["ready"] and "running" in status["state"]
    phases: list[str] = []
    pod = await world.until(lambda pod: phases.append(pod["status"]["phase"]) or phase("Succeeded")(pod))
    assert set(phases) == {"Running", "Succeeded"}
    assert all("terminated" in entry["state"] for entry in pod["status"]["initContainerStatuses"])
    stopped = [message for reason, message in await world.said() if reason == "Killing"]
    assert stopped == ["Stopping container one", "Stopping container two"]


async def test_deletion_signals_the_sidecar_after_the_main_container(world: World) -> None:
    world.api.add(make_pod(initContainers=[sidecar("one"), sidecar("two")]))
    await world.until(ready)
    names = {record.spec.id: record.spec.name for record in world.runtime.records()}
    await world.delete()
    await world.until_gone()
    signalled = [names[identity] for verb, identity in world.runtime.actions if verb.startswith("SIG")]
    assert signalled == ["web", "two", "one"]


async def test_sidecar_counts_for_readiness_and_comes_back(world: World) -> None:
    probe = {"exec": {"command": ["true"]}, "periodSeconds": 1, "initialDelaySeconds": 1}
    world.api.add(make_pod(initContainers=[sidecar("one", readinessProbe=probe)]))
    pod = await world.until(phase("Running"))
    condition = condition_of(pod, "ContainersReady")
    assert condition is not None and condition["message"] == "containers with unready status: [one]"
    await world.until(ready)
    world.runtime.finish(next(r.spec.id for r in world.runtime.records() if r.spec.name == "one"), 1)
    pod = await world.until(lambda pod: pod["status"]["initContainerStatuses"][0]["restartCount"] == 1)
    assert not ready(pod) and restarts(pod) == 0 and pod["status"]["phase"] == "Running"
    initialized = condition_of(pod, "Initialized")
    assert initialized is not None and initialized["status"] == "True"
    await world.until(ready)


async def test_ephemeral_container_comes_to_a_running_pod_once(world: World) -> None:
    world.api.add(make_pod())
    await world.until(ready)
    debugger = {
        "name": "debugger",
        "image": "nginx",
        "imagePullPolicy": "IfNotPresent",
        "command": ["exit", "3"],
    }
    await Client(world.api).patch(
        PODS, "web", {"spec": {"ephemeralContainers": [debugger]}}, namespace="default"
    )
    pod = await world.until(lambda pod: "terminated" in state(pod, "ephemeralContainerStatuses"))
    assert state(pod, "ephemeralContainerStatuses")["terminated"]["exitCode"] == 3
    assert ready(pod) and restarts(pod) == 0
    await world.stop()
    world.start()
    await asyncio.sleep(0.05)
    assert [r.spec.name for r in world.runtime.records()].count("debugger") == 1
    await world.delete()
    await world.until_gone()
    assert world.runtime.records() == []


async def test_nothing_is_succeeded_or_failed_while_something_runs(world: World) -> None:
    async def stubborn(process: Process) -> int:
        process.ignored.add(signal.SIGTERM)
        await asyncio.sleep(60)
        return 0

    world.runtime.programs["nginx"] = stubborn
    world.api.add(make_pod(activeDeadlineSeconds=1, terminationGracePeriodSeconds=1))
    phases: list[str] = []

    def seen(pod: Obj) -> bool:
        phases.append(pod.get("status", {}).get("phase", ""))
        if phases[-1] == "Failed":
            assert "terminated" in state(pod) and pod["status"]["reason"] == "DeadlineExceeded"
        return phases[-1] == "Failed"

    await world.until(seen, within_s=5)
    assert "Running" in phases


async def test_a_critical_pod_has_the_room_of_others(world: World) -> None:
    def asking(name: str, cpu: int, **spec: Any) -> Obj:
        resources = {"requests": {"cpu": f"{cpu}m"}}
        return make_pod(name, containers=[{"name": "web", "image": "nginx", "resources": resources}], **spec)

    everything = world.kubelet._machine.cpus * 1000
    world.api.add(asking("big", everything - 100))
    world.api.add(asking("small", 100))
    await world.until(ready, "big")
    await world.until(ready, "small")
    world.api.add(asking("needed", 200, priority=2_000_000_000))
    await world.until(ready, "needed")
    gone = await world.until(phase("Failed"), "big")
    assert gone["status"]["reason"] == "Preempting"
    assert gone["status"]["message"] == "Preempted in order to admit critical pod"
    assert ready(world.pod("small") or {})
