"""What is known of one container: its list, when the next may start, what counts as a restart."""

from __future__ import annotations

import pytest

from harness.podviews import end, make_view, run
from sampan.kubelet.containerview import Kind


def test_each_kind_stands_in_its_lists() -> None:
    spec = {"name": "x", "image": "nginx"}
    view = make_view(
        "web", initContainers=[{**spec, "name": "i"}], ephemeralContainers=[{**spec, "name": "e"}]
    )
    assert [c.field_path for c in view.containers] == [
        "spec.initContainers{i}",
        "spec.containers{web}",
        "spec.ephemeralContainers{e}",
    ]
    assert [c.kind for c in view.containers] == [Kind.INIT, Kind.APP, Kind.EPHEMERAL]


@pytest.mark.parametrize(("restart", "started", "passed"), [(None, True, False), ("Always", True, True)])
def test_a_running_container_lets_the_next_one_start_only_if_it_is_a_sidecar(
    restart: str | None, started: bool, passed: bool
) -> None:
    spec = {"name": "i", "image": "nginx"} | ({"restartPolicy": restart} if restart else {})
    view = make_view(initContainers=[spec])
    (container,) = view.init
    run(container)
    assert not container.passed
    container.started = started
    assert container.passed is passed
    end(container, 0)
    assert container.passed is (restart is None)


def test_an_attempt_counts_once_it_is_made() -> None:
    view = make_view()
    (container,) = view.app
    run(container)
    end(container, 1)
    assert container.restarts == 0
    container.begin(1.0)
    assert container.restarts == 0
    view = make_view()
    (container,) = view.app
    run(container)
    end(container, 1)
    run(container)
    assert container.restarts == 1
