"""Attempts at containers: none is lost, none is made too late."""

from pathlib import Path

from harness.podworld import pod_world
from sampan.kubelet.lifecycle import ContainerState

DEBUGGER = {"name": "dbg", "image": "nginx", "imagePullPolicy": "IfNotPresent"}


def test_an_end_that_comes_before_the_start_is_answered_is_kept_though_another_begins(tmp_path: Path) -> None:
    with pod_world(tmp_path, restartPolicy="Never", containers=[{}, {}]) as world:
        for _ in range(100):
            world.time.sleep(0.001)
            if any(record.spec.name == "app0" for record in world.running()):
                break
        assert world.worker is not None and world.worker.view.app[0].state is ContainerState.STARTING
        world.finish("app0", 7)
        world.change({"spec": {"ephemeralContainers": [DEBUGGER]}})
        world.go(1)
        assert world.pod is not None
        first = world.pod["status"]["containerStatuses"][0]
        assert first["state"]["terminated"]["exitCode"] == 7


def test_what_is_being_created_when_the_pod_ends_never_runs(tmp_path: Path) -> None:
    with pod_world(tmp_path) as world:
        for _ in range(100):
            world.time.sleep(0.001)
            if world.worker is not None and world.worker.view.app[0].state is ContainerState.STARTING:
                break
        world.delete(30)
        world.go(1)
        assert world.pod is None
        assert [verb for verb, _ in world.runtime.actions if verb in ("start", "SIGTERM", "SIGKILL")] == []


def test_reboot_shows_that_nobody_knows_how_it_ended(tmp_path: Path) -> None:
    with pod_world(tmp_path) as world:
        world.go(1)
        world.kill()
        world.time.run(world.runtime.remove_sandbox(world.uid))
        world.start()
        world.go(1)
        assert world.pod is not None
        (status,) = world.pod["status"]["containerStatuses"]
        assert "running" in status["state"] and status["restartCount"] == 1
        assert status["lastState"]["terminated"]["reason"] == "ContainerStatusUnknown"
        assert status["lastState"]["terminated"]["exitCode"] == 137
