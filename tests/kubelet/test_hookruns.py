"""Hooks of running containers: waited for, and given up with their containers."""

from pathlib import Path

from harness.podworld import pod_world

EXEC = {"exec": {"command": ["x"]}}


def test_a_container_whose_post_start_fails_is_started_anew(tmp_path: Path) -> None:
    with pod_world(tmp_path, containers=[{"lifecycle": {"postStart": EXEC}}]) as world:
        world.hook = "fails"
        world.go(0.5)
        assert ("FailedPostStartHook", "PostStartHook failed: no") in world.said
        world.hook = "quick"
        world.go(30)
        assert world.pod is not None
        (status,) = world.pod["status"]["containerStatuses"]
        assert status["restartCount"] >= 1 and status["ready"]


def test_a_hook_ends_with_its_container(tmp_path: Path) -> None:
    with pod_world(tmp_path, containers=[{"lifecycle": {"postStart": EXEC}}]) as world:
        world.hook = "hangs"
        world.go(0.5)
        assert world.hooks_running == 1
        assert world.pod is not None
        assert world.pod["status"]["containerStatuses"][0]["state"] == {
            "waiting": {"reason": "ContainerCreating"}
        }
        world.finish("app0", 1)
        world.time.sleep(0.001)
        assert world.hooks_running == 0
