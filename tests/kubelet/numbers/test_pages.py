"""The pages of a kubelet whose containers are scripted."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import orjson
import pytest

from harness.kubeletworld import World, make_pod, ready, running
from sampan.api.streams import NO_NUMBERS
from sampan.kubelet.numbers import sampler
from sampan.kubelet.runtime.contract import Stats


@pytest.fixture
async def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    monkeypatch.setattr(sampler, "QUICK_S", 0.01)
    async with running(tmp_path) as found:
        found.api.add(make_pod())
        await found.until(ready)
        (record,) = found.runtime.records()
        found.runtime.usage[record.spec.id] = Stats(10**9, 20, 10, 2)
        yield found


@pytest.mark.parametrize(
    ("path", "holds"),
    [
        ("/metrics", b'kubelet_running_containers{container_state="running"} 1'),
        ("/metrics", b"kubelet_pod_start_duration_seconds_count 1"),
        ("/metrics", b"process_cpu_seconds_total "),
        ("/metrics/resource", b'container_memory_working_set_bytes{container="web",namespace='),
        ("/metrics/cadvisor", b'image="nginx"'),
        ("/stats/summary", b'"workingSetBytes":10'),
        ("/stats/summary?only_cpu_and_memory=true", b'"podRef"'),
        ("/pods", b'"kind":"PodList"'),
        ("/configz", b'"imageGCHighThresholdPercent":85'),
    ],
)
async def test_pages(world: World, path: str, holds: bytes) -> None:
    page = await world.kubelet.numbers(path)
    assert page.status == 200
    assert holds in page.body
    if page.content_type == "application/json":
        orjson.loads(page.body)


async def test_other_paths_are_not_found(world: World) -> None:
    assert await world.kubelet.numbers("/nothing") is NO_NUMBERS


async def test_usage_of_a_pod(world: World) -> None:
    (pod,) = (await world.kubelet.usage()).pods
    assert [(container.name, container.memory_bytes) for container in pod.containers] == [("web", 10)]
