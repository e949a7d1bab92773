"""Static Pods against fakes: a file is run, the API has a mirror of it, and nothing done to that stops it."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from harness.kubeletworld import World, make_pod, phase, ready, restarts, running
from sampan.api.errors import forbidden
from sampan.api.objects import Obj, uid_of
from sampan.api.request import STRATEGIC_MERGE_PATCH
from sampan.api.resources import EVENTS, NODES, PODS
from sampan.api.streams import LogOptions
from sampan.client.client import Client
from sampan.kubelet.staticpods import mirrored

pytestmark = pytest.mark.virtual_time

MANIFEST = """
apiVersion: v1
kind: Pod
metadata: {name: web, labels: {app: web}}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - {name: web, image: nginx, imagePullPolicy: IfNotPresent, command: [COMMAND]}
"""
NAME = "web-node"


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with running(tmp_path) as found:
        yield found


def put(world: World, command: str = "nginx", name: str = "web.yaml") -> Path:
    file = world.root / "manifests" / name
    file.write_text(MANIFEST.replace("COMMAND", command))
    return file


def starts(world: World) -> int:
    return len([verb for verb, _ in world.runtime.actions if verb == "start"])


async def another(world: World, before: Obj) -> Obj:
    return await world.until(lambda pod: uid_of(pod) != uid_of(before) and ready(pod), NAME)


async def test_a_file_is_run_and_mirrored(world: World) -> None:
    put(world)
    pod = await world.until(ready, NAME)
    node = world.api.get(NODES, "node")
    assert node is not None
    annotations = pod["metadata"]["annotations"]
    assert annotations["kubernetes.io/config.source"] == "file"
    assert mirrored(pod) == annotations["kubernetes.io/config.hash"] != uid_of(pod)
    assert pod["metadata"]["ownerReferences"] == [
        {"apiVersion": "v1", "kind": "Node", "controller": True, "name": "node", "uid": uid_of(node)}
    ]
    assert pod["metadata"]["labels"] == {"app": "web"}
    assert [sandbox.uid for sandbox in world.runtime.sandboxes()] == [mirrored(pod)]


async def test_deleted_mirror_comes_back_and_nothing_restarts(world: World) -> None:
    put(world)
    first = await world.until(ready, NAME)
    await world.delete(name=NAME)
    second = await another(world, first)
    world.api.remove(PODS, NAME, "default")
    third = await another(world, second)
    assert starts(world) == 1 and restarts(third) == 0
    assert third["status"]["startTime"] == first["status"]["startTime"]
    assert third["status"]["conditions"] == first["status"]["conditions"]


async def test_removed_file_ends_the_pod_with_its_grace(world: World) -> None:
    file = put(world)
    pod = await world.until(ready, NAME)
    file.unlink()
    await world.until_gone(NAME)
    assert "SIGTERM" in [verb for verb, _ in world.runtime.actions]
    await world.comes_true(lambda: not (world.root / "pods" / mirrored(pod)).exists())
    assert not world.runtime.sandboxes()


async def test_changed_file_is_another_pod_after_the_first(world: World) -> None:
    put(world)
    first = await world.until(ready, NAME)
    put(world, "other")
    second = await another(world, first)
    assert mirrored(second) != mirrored(first)
    assert [sandbox.uid for sandbox in world.runtime.sandboxes()] == [mirrored(second)]
    verbs = [verb for verb, _ in world.runtime.actions]
    assert verbs.index("SIGTERM") < len(verbs) - verbs[::-1].index("start") - 1


async def test_bad_file_is_told_and_changes_nothing(world: World) -> None:
    file = put(world)
    pod = await world.until(ready, NAME)
    file.write_text("kind: [")
    (world.root / "manifests" / "odd.yaml").write_text(MANIFEST.replace("name: web,", "name: 'A b',", 1))
    await world.comes_true(lambda: bool(world.kubelet._statics._manifests._told.get(file)))
    said = dict(await world.said())
    assert "web.yaml: " in said["FailedToReadManifest"]
    assert "metadata.name: Invalid value" in said["InvalidManifest"]
    involved = {
        event["involvedObject"]["kind"]
        for event in world.api.objects(EVENTS)
        if event["reason"] in ("FailedToReadManifest", "InvalidManifest")
    }
    assert involved == {"Node"}
    assert uid_of(await world.until(ready, NAME)) == uid_of(pod) and starts(world) == 1
    put(world)
    await asyncio.sleep(0.02)
    assert starts(world) == 1


async def test_node_starts_anew_and_adopts(world: World) -> None:
    put(world)
    first = await world.until(ready, NAME)
    await world.stop()
    await asyncio.sleep(1.01)  # times in a status are whole seconds
    world.start()
    await world.comes_true(lambda: mirrored(first) in world.kubelet._workers)
    await asyncio.sleep(0.1)
    pod = await world.until(ready, NAME)
    assert uid_of(pod) == uid_of(first) and starts(world) == 1
    assert pod["status"] == first["status"]


async def test_runs_while_the_api_refuses_its_mirror(world: World) -> None:
    world.api.fail("create", "pods", forbidden(PODS, NAME, "no"), times=1)
    put(world)
    await world.comes_true(lambda: starts(world) == 1)
    assert world.pod(NAME) is None
    await world.until(ready, NAME)
    assert starts(world) == 1


async def test_another_pod_has_the_name(world: World) -> None:
    world.api.add(make_pod(NAME))
    await world.until(ready, NAME)
    put(world)
    await world.comes_true(lambda: starts(world) == 2)
    pod = await world.until(ready, NAME)
    assert not mirrored(pod)
    await world.delete(grace_s=1, name=NAME)
    assert mirrored(await another(world, pod))
    assert starts(world) == 2


async def test_mirror_of_nothing_goes(world: World) -> None:
    pod = make_pod()
    pod["metadata"]["annotations"] = {"kubernetes.io/config.mirror": "../elsewhere"}
    world.api.add(pod)
    await world.until_gone()
    assert not world.runtime.sandboxes()


async def test_logs_of_a_mirror_are_the_static_pods(world: World) -> None:
    put(world)
    pod = await world.until(ready, NAME)
    path = next(record.spec.log_path for record in world.runtime.records())
    Path(path).write_text("2026-01-01T00:00:00.000000000Z stdout F hello\n")
    chunks = [chunk async for chunk in await world.kubelet.logs(pod, LogOptions())]
    assert b"".join(chunks) == b"hello\n"
    stranger = {**pod, "metadata": {**pod["metadata"], "name": "stranger"}}
    assert world.kubelet._statics.behind(stranger) is stranger


async def test_ended_pod_stays_ended(world: World) -> None:
    file = world.root / "manifests" / "once.json"
    text = MANIFEST.replace("COMMAND", "nginx").replace("spec:", "spec:\n  restartPolicy: Never")
    file.write_text(text)
    pod = await world.until(ready, NAME)
    record = next(iter(world.runtime.records()))
    world.runtime.signal(record.spec.id, signal.SIGKILL)
    await world.until(phase("Failed"), NAME)
    await Client(world.api).delete(PODS, NAME, namespace="default", grace_period_s=0)
    failed = await world.until(lambda found: uid_of(found) != uid_of(pod) and phase("Failed")(found), NAME)
    assert failed["status"]["startTime"] == pod["status"]["startTime"] and starts(world) == 1


async def test_who_only_says_it_is_static_is_not(world: World) -> None:
    pod = make_pod()
    pod["metadata"]["annotations"] = {"kubernetes.io/config.source": "file"}
    world.api.add(pod)
    uid = uid_of(await world.until(ready))
    assert not world.kubelet._workers[uid].view.static
    await world.delete(grace_s=1)
    await world.until_gone()


async def test_readiness_gate_on_the_mirror_counts(world: World) -> None:
    gated = MANIFEST.replace("spec:", "spec:\n  readinessGates: [{conditionType: x/y}]").replace(
        "COMMAND", "nginx"
    )
    (world.root / "manifests" / "web.yaml").write_text(gated)
    pod = await world.until(phase("Running"), NAME)
    assert not ready(pod)
    status = {"status": {"conditions": [{"type": "x/y", "status": "True"}]}}
    await Client(world.api).patch(
        PODS, NAME, status, namespace="default", content_type=STRATEGIC_MERGE_PATCH, subresource="status"
    )
    await world.until(ready, NAME)
