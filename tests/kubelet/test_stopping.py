"""A container is told to end: hook, signal, SIGKILL, each in its time."""

from pathlib import Path

from harness.podworld import PodWorld, pod_world

PRE_STOP = {"lifecycle": {"preStop": {"exec": {"command": ["x"]}}}}
SIDECAR = {"restartPolicy": "Always"}


def signals(world: PodWorld) -> list[str]:
    return [verb for verb, _ in world.runtime.actions if verb.startswith("SIG")]


def test_a_hanging_hook_uses_up_the_grace_period_and_two_seconds_are_left(tmp_path: Path) -> None:
    with pod_world(tmp_path, containers=[PRE_STOP]) as world:
        world.stubborn.add("app0")
        world.go(1)
        world.hook = "hangs"
        world.delete(10)
        world.go(9.8)
        assert signals(world) == []
        world.go(0.4)
        assert signals(world) == ["SIGTERM"]
        text = "PreStopHook failed: the grace period ended before it did"
        assert ("FailedPreStopHook", text) in world.said
        world.go(1.6)
        assert signals(world) == ["SIGTERM"]
        world.go(1)
        assert signals(world) == ["SIGTERM", "SIGKILL"]
        assert world.hooks_running == 0 and world.pod is None


def test_hooks_of_sidecars_begin_at_once_and_their_signals_wait(tmp_path: Path) -> None:
    with pod_world(tmp_path, init=[SIDECAR | PRE_STOP], containers=[{}]) as world:
        world.stubborn.add("app0")
        world.go(1)
        world.hook = "slow"
        world.delete(10)
        world.go(1)
        assert world.hooks_running == 1
        assert signals(world) == ["SIGTERM"]
        world.go(5)
        assert world.hooks_running == 0
        assert signals(world) == ["SIGTERM"]
        world.finish("app0", 0)
        world.go(0.1)
        assert signals(world) == ["SIGTERM", "SIGTERM"]
        assert world.pod is None


def test_a_second_delete_with_less_time_ends_a_hanging_hook(tmp_path: Path) -> None:
    with pod_world(tmp_path, containers=[PRE_STOP]) as world:
        world.go(1)
        world.hook = "hangs"
        world.delete(600)
        world.go(60)
        assert signals(world) == []
        world.delete(1)
        world.go(1)
        assert signals(world) == ["SIGTERM"]


def test_removal_by_force_leaves_a_hook_no_more_than_a_moment(tmp_path: Path) -> None:
    for deleted_before in (False, True):
        with pod_world(tmp_path / str(deleted_before), containers=[PRE_STOP]) as world:
            world.stubborn.add("app0")
            world.go(1)
            world.hook = "hangs"
            if deleted_before:
                world.delete(600)
                world.go(60)
            world.remove()
            world.go(4)
            assert signals(world) == ["SIGTERM", "SIGKILL"]
            assert not world.runtime.sandboxes() and not world.network.attached
