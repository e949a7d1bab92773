"""Resizes on a node of fakes, as the API and the runtime see them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from harness.kubeletworld import World, make_pod, ready
from sampan.api.objects import Obj, condition_of, mutable
from sampan.api.resources import PODS
from sampan.kubelet.runtime.contract import Resources, RuntimeFault, Stats
from sampan.kubelet.runtime.fake import Process

pytestmark = pytest.mark.virtual_time


def sized(cpu: str = "100m", memory: str = "", name: str = "web", **container: Any) -> Obj:
    limits = {"cpu": cpu} | ({"memory": memory} if memory else {})
    resources = {"requests": limits, "limits": limits}
    containers = [{"name": "web", "image": "nginx", "resources": resources, **container}]
    return make_pod(name, containers=containers)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    world = World(tmp_path)
    world.start()
    try:
        yield world
    finally:
        await world.stop()


def resized(world: World, cpu: str, memory: str = "", name: str = "web") -> None:
    pod = mutable(world.pod(name) or {})
    pod["spec"]["containers"][0]["resources"] = sized(cpu, memory)["spec"]["containers"][0]["resources"]
    world.api.add(pod)


def shown(pod: Obj) -> tuple[Any, Any]:
    """CPU (limit in force, request allocated)."""
    status = pod["status"]["containerStatuses"][0]
    return status["resources"]["limits"]["cpu"], status["allocatedResources"]["cpu"]


def given(world: World) -> Resources | None:
    (record,) = world.runtime.records()
    return world.runtime.resources.get(record.spec.id)


async def test_the_kernel_follows_and_the_status_says_so(world: World) -> None:
    world.api.add(sized("100m"))
    await world.until(ready)
    resized(world, "200m")
    pod = await world.until(lambda pod: shown(pod) == ("200m", "200m"))
    found = given(world)
    assert found is not None and (found.cpu_quota_us, found.cpu_shares) == (20_000, 204)
    assert condition_of(pod, "PodResizePending") is None
    await world.until(lambda pod: condition_of(pod, "PodResizeInProgress") is None)
    said = [reason for reason, _ in await world.said() if reason.startswith("Resize")]
    assert said == ["ResizeStarted", "ResizeCompleted"]
    assert pod["status"]["containerStatuses"][0]["restartCount"] == 0


async def test_the_pods_own_limits_enclose_it_all_the_time(world: World) -> None:
    asked: list[tuple[str, int]] = []
    told = world.runtime.set_sandbox_resources

    async def listen(uid: str, resources: Resources) -> None:
        asked.append(("pod", resources.cpu_quota_us))
        await told(uid, resources)

    world.runtime.set_sandbox_resources = listen  # type: ignore[method-assign]
    world.api.add(sized("200m"))
    await world.until(ready)
    resized(world, "100m")
    await world.until(lambda pod: shown(pod) == ("100m", "100m"))
    await world.until(lambda pod: condition_of(pod, "PodResizeInProgress") is None)
    assert asked == [("pod", 20_000), ("pod", 10_000)]


async def test_what_never_fits_is_said(world: World) -> None:
    world.api.add(sized("100m"))
    await world.until(ready)
    resized(world, "4096")
    pod = await world.until(lambda pod: condition_of(pod, "PodResizePending"))
    pending = condition_of(pod, "PodResizePending")
    assert pending is not None and pending["reason"] == "Infeasible"
    assert shown(pod) == ("100m", "100m") and given(world) is None
    resized(world, "100m")
    await world.until(lambda pod: condition_of(pod, "PodResizePending") is None)


async def test_what_may_fit_later_is_granted_later(world: World) -> None:
    cpus = int(world.kubelet._machine.cpus)
    world.api.add(sized(f"{cpus * 500}m", name="big"))
    world.api.add(sized("100m"))
    await world.until(ready, "big")
    await world.until(ready)
    resized(world, f"{cpus * 600}m")
    pod = await world.until(lambda pod: condition_of(pod, "PodResizePending"))
    pending = condition_of(pod, "PodResizePending")
    assert pending is not None and pending["reason"] == "Deferred"
    await world.delete(0, "big")
    await world.until(lambda pod: shown(pod)[0] == f"{cpus * 600}m")
    await world.until(lambda pod: condition_of(pod, "PodResizePending") is None)


async def test_a_policy_of_restart_is_kept(world: World) -> None:
    policy = [{"resourceName": "cpu", "restartPolicy": "RestartContainer"}]
    world.api.add(sized("100m", resizePolicy=policy))
    first = await world.until(ready)
    resized(world, "200m")
    pod = await world.until(lambda pod: shown(pod) == ("200m", "200m") and ready(pod))
    before, after = (each["status"]["containerStatuses"][0] for each in (first, pod))
    assert after["restartCount"] == 1 and after["containerID"] != before["containerID"]
    assert ("Killing", "Container web resize requires restart") in await world.said()


async def test_a_resize_by_restart_is_in_progress_until_the_container_runs_again(world: World) -> None:
    called, over = asyncio.Event(), asyncio.Event()

    async def hold(process: Process) -> int:
        called.set()
        await over.wait()
        return 0

    world.runtime.programs["hold"] = hold
    policy = [{"resourceName": "cpu", "restartPolicy": "RestartContainer"}]
    hook = {"preStop": {"exec": {"command": ["hold"]}}}
    world.api.add(sized("100m", resizePolicy=policy, lifecycle=hook))
    await world.until(ready)
    resized(world, "200m")
    await called.wait()
    pod = await world.until(lambda pod: condition_of(pod, "PodResizeInProgress") is not None)
    assert shown(pod)[0] == "100m"
    assert "ResizeCompleted" not in [reason for reason, _ in await world.said()]
    over.set()
    pod = await world.until(lambda pod: condition_of(pod, "PodResizeInProgress") is None)
    assert shown(pod)[0] == "200m" and pod["status"]["containerStatuses"][0]["restartCount"] == 1
    assert [reason for reason, _ in await world.said()].count("ResizeCompleted") == 1


async def test_memory_in_use_is_not_taken_away(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sampan.kubelet.podresize.RETRY_S", 0.02)
    world.api.add(sized(memory="64Mi"))
    await world.until(ready)
    (record,) = world.runtime.records()
    world.runtime.usage[record.spec.id] = Stats(0, 32 << 20, 32 << 20, 1)
    resized(world, "100m", "16Mi")
    pod = await world.until(lambda pod: (condition_of(pod, "PodResizeInProgress") or {}).get("message"))
    condition = condition_of(pod, "PodResizeInProgress")
    assert condition is not None and condition["reason"] == "Error"
    assert "below current usage (33554432)" in condition["message"]
    limits = pod["status"]["containerStatuses"][0]["resources"]["limits"]
    assert limits["memory"] == "64Mi", "what is in force, not what was asked for"
    world.runtime.usage.clear()
    await world.until(lambda pod: condition_of(pod, "PodResizeInProgress") is None)


async def test_another_wish_does_not_wait_for_the_next_try(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sampan.kubelet.podresize.RETRY_S", 36_000)
    world.api.add(sized(memory="64Mi"))
    await world.until(ready)
    (record,) = world.runtime.records()
    world.runtime.usage[record.spec.id] = Stats(0, 32 << 20, 32 << 20, 1)
    resized(world, "100m", "16Mi")
    await world.until(lambda pod: (condition_of(pod, "PodResizeInProgress") or {}).get("message"))
    resized(world, "100m", "48Mi")
    pod = await world.until(lambda pod: condition_of(pod, "PodResizeInProgress") is None)
    assert pod["status"]["containerStatuses"][0]["resources"]["limits"]["memory"] == "48Mi"


async def test_a_refusal_of_the_kernel_is_told(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sampan.kubelet.podresize.RETRY_S", 0.02)
    world.api.add(sized("100m"))
    await world.until(ready)
    world.runtime.fail(
        "set_resources", RuntimeFault("ResizeError", "the kernel refused the new limits: busy")
    )
    resized(world, "200m")
    await world.until(lambda pod: shown(pod) == ("200m", "200m"))
    assert ("ResizeError", "the kernel refused the new limits: busy") in await world.said()


async def test_a_restarted_node_keeps_to_what_it_had_granted(world: World) -> None:
    world.api.add(sized("100m"))
    await world.until(ready)
    resized(world, "200m")
    await world.until(lambda pod: shown(pod) == ("200m", "200m"))
    resized(world, "4096")
    await world.until(lambda pod: condition_of(pod, "PodResizePending"))
    await world.stop()
    before = len([each for each in world.api.actions if each.verb == "patch"])
    world.start()
    await asyncio.sleep(0.1)
    after = [each for each in world.api.actions[:] if each.verb == "patch"][before:]
    assert not [each for each in after if each.plural == "pods/status"], (
        "nothing has changed, so nothing is said anew"
    )
    pod = world.api.get(PODS, "web", "default")
    assert pod is not None and shown(pod) == ("200m", "200m")
    assert condition_of(pod, "PodResizePending") is not None
    assert pod["status"]["containerStatuses"][0]["restartCount"] == 0


async def test_back_and_forth(world: World) -> None:
    """What a container was given last is what counts, not what it was given first."""
    world.api.add(sized("100m"))
    await world.until(ready)
    for cpu, quota_us in (("200m", 20_000), ("300m", 30_000), ("200m", 20_000), ("100m", 10_000)):
        resized(world, cpu)
        await world.until(lambda pod, cpu=cpu: shown(pod) == (cpu, cpu))
        found = given(world)
        assert found is not None and found.cpu_quota_us == quota_us


async def test_what_was_granted_and_not_done_is_done_by_the_next_process(world: World) -> None:
    world.api.add(sized("100m"))
    await world.until(ready)
    await world.stop()
    resized(world, "200m")
    pod = world.pod()
    assert pod is not None
    granted = {"web": pod["spec"]["containers"][0]["resources"]}
    (world.root / "pods" / pod["metadata"]["uid"] / "resources.json").write_bytes(orjson.dumps(granted))
    world.start()
    await world.until(lambda pod: (found := given(world)) is not None and found.cpu_quota_us == 20_000)


async def test_a_pod_that_has_ended_takes_no_room_for_a_resize(world: World) -> None:
    world.api.add(sized("100m"))
    pod = await world.until(ready)
    await world.delete(30)
    before = world.kubelet._allocation.room_for("x")["cpu"]
    resized(world, "200m")
    await asyncio.sleep(0.05)
    assert world.kubelet._allocation.room_for("x")["cpu"] >= before
    assert pod["metadata"]["uid"]
