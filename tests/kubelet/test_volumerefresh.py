"""Volumes of a running Pod are brought up to date, and only of a running one."""

from pathlib import Path

from harness.podworld import pod_world
from sampan.kubelet.volumerefresh import LOOK_AGAIN_S


def test_volumes_are_refreshed_when_labels_change_and_when_they_ask(tmp_path: Path) -> None:
    with pod_world(tmp_path) as world:
        world.volumes.refresh_after_s = 3000.0
        world.go(1)
        assert world.volumes.refreshed == 0
        world.change({"metadata": {"labels": {"a": "b"}}})
        world.go(1)
        assert world.volumes.refreshed == 1
        world.go(10000)
        assert world.volumes.refreshed == 4
        world.delete(1)
        world.go(10000)
        assert world.volumes.refreshed == 4


def test_volumes_are_refreshed_in_time_when_the_clock_is_set(tmp_path: Path) -> None:
    with pod_world(tmp_path) as world:
        world.volumes.refresh_after_s = 3000.0
        world.go(1)
        world.time.loop.set_clock(36000)
        world.go(LOOK_AGAIN_S + 10)
        assert world.volumes.refreshed == 1
