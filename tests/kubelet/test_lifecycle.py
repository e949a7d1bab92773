"""The two tables are complete: every state can be reached, and every state but the last can be left."""

from __future__ import annotations

import pytest

from sampan.kubelet.lifecycle import (
    CONTAINER,
    POD,
    ContainerEvent,
    ContainerState,
    IllegalStep,
    PodEvent,
    PodState,
    step,
)


def reachable(table: dict, start: object) -> set[object]:  # type: ignore[type-arg]
    found, todo = {start}, [start]
    while todo:
        state = todo.pop()
        for (before, _), after in table.items():
            if before is state and after not in found:
                found.add(after)
                todo.append(after)
    return found


def test_every_container_state_is_reached() -> None:
    assert reachable(CONTAINER, ContainerState.WAITING) == set(ContainerState)


def test_every_pod_state_is_reached() -> None:
    assert reachable(POD, PodState.NEW) == set(PodState)


@pytest.mark.parametrize("state", PodState)
def test_every_pod_can_be_released(state: PodState) -> None:
    assert PodState.RELEASED in reachable(POD, state)


@pytest.mark.parametrize("state", [state for state in ContainerState if state is not ContainerState.WAITING])
def test_what_lives_can_end(state: ContainerState) -> None:
    assert ContainerState.EXITED in reachable(CONTAINER, state)


def test_what_the_table_does_not_know_is_refused() -> None:
    with pytest.raises(IllegalStep, match="stop in state waiting"):
        step(CONTAINER, ContainerState.WAITING, ContainerEvent.STOP)
    with pytest.raises(IllegalStep):
        step(POD, PodState.RELEASED, PodEvent.PREPARE)
