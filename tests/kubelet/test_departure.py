"""How a Pod leaves: drained first, given back until it is, deleted last."""

from pathlib import Path

from harness.podworld import pod_world
from sampan.kubelet.runtime.contract import RuntimeFault


def test_what_cannot_be_given_back_is_told_and_tried_again(tmp_path: Path) -> None:
    with pod_world(tmp_path) as world:
        world.go(1)
        world.runtime.fail("remove_sandbox", RuntimeFault("", "device or resource busy"))
        world.delete(1)
        world.go(1)
        assert world.pod is not None
        assert ("FailedKillPod", "error killing pod: device or resource busy") in world.said
        world.go(6)
        assert world.pod is None and not world.runtime.sandboxes()


def test_a_pod_that_serves_is_drained_and_one_that_does_not_is_not(tmp_path: Path) -> None:
    with pod_world(tmp_path / "a") as world:
        world.go(1)
        world.delete(1)
        world.go(1)
        assert world.drained and world.pod is None
    with pod_world(tmp_path / "b") as world:
        world.images.hold("nginx")
        world.go(1)
        world.delete(1)
        world.go(1)
        assert not world.drained and world.pod is None


def test_an_evicted_pod_says_so_and_stays(tmp_path: Path) -> None:
    with pod_world(tmp_path) as world:
        world.go(1)

        async def evict() -> None:
            assert world.worker is not None
            world.worker.evict("Evicted", "The node was low on resource: memory.", grace_s=0)

        world.time.run(evict())
        world.go(5)
        assert world.pod is not None
        status = world.pod["status"]
        assert (status["phase"], status["reason"]) == ("Failed", "Evicted")
        (condition,) = (c for c in status["conditions"] if c["type"] == "DisruptionTarget")
        assert (condition["status"], condition["reason"]) == ("True", "TerminationByKubelet")
        assert not world.runtime.sandboxes() and not world.network.attached
