"""What a container and a Pod go through on a node: two tables of (state, event) -> state.

`worker` walks them, `plan` decides which event comes next, the tests walk every pair. An event that has no
row for the state is a mistake in the code, never a matter of timing: `step` raises.
"""

from __future__ import annotations

from enum import Enum
from typing import TypeVar


class ContainerState(Enum):
    WAITING = "waiting"  # no attempt yet, or the last one could not be started
    STARTING = "starting"  # the runtime is at work
    RUNNING = "running"
    STOPPING = "stopping"  # told to end: hook, then signal, then SIGKILL
    EXITED = "exited"


class ContainerEvent(Enum):
    START = "start"
    STARTED = "started"
    FAILED = "failed"
    STOP = "stop"
    EXIT = "exit"


class PodState(Enum):
    NEW = "new"  # nothing of it is on the node
    PREPARING = "preparing"  # volumes and sandbox are being made
    UP = "up"  # containers may start
    STOPPING = "stopping"  # it leaves the endpoints, its containers end
    STOPPED = "stopped"  # no process is left
    RELEASING = "releasing"  # volumes, sandbox and address are being given back
    RELEASED = "released"


ENDED = (PodState.STOPPED, PodState.RELEASING, PodState.RELEASED)
"""Nothing of the Pod runs any more, nor will."""


class PodEvent(Enum):
    PREPARE = "prepare"
    PREPARED = "prepared"
    FAILED = "failed"
    STOP = "stop"
    ENDED = "ended"
    RELEASE = "release"
    RELEASED = "released"


CONTAINER: dict[tuple[ContainerState, ContainerEvent], ContainerState] = {
    (ContainerState.WAITING, ContainerEvent.START): ContainerState.STARTING,
    (ContainerState.EXITED, ContainerEvent.START): ContainerState.STARTING,
    (ContainerState.STARTING, ContainerEvent.STARTED): ContainerState.RUNNING,
    (ContainerState.STARTING, ContainerEvent.FAILED): ContainerState.WAITING,
    # A short-lived process may end before the runtime has answered that it started.
    (ContainerState.STARTING, ContainerEvent.EXIT): ContainerState.EXITED,
    (ContainerState.EXITED, ContainerEvent.STARTED): ContainerState.EXITED,
    (ContainerState.RUNNING, ContainerEvent.STOP): ContainerState.STOPPING,
    (ContainerState.RUNNING, ContainerEvent.EXIT): ContainerState.EXITED,
    (ContainerState.STOPPING, ContainerEvent.EXIT): ContainerState.EXITED,
}

POD: dict[tuple[PodState, PodEvent], PodState] = {
    (PodState.NEW, PodEvent.PREPARE): PodState.PREPARING,
    (PodState.PREPARING, PodEvent.PREPARED): PodState.UP,
    (PodState.PREPARING, PodEvent.FAILED): PodState.NEW,
    # Whatever the preparation had made by then is released like the rest.
    (PodState.NEW, PodEvent.STOP): PodState.STOPPING,
    (PodState.PREPARING, PodEvent.STOP): PodState.STOPPING,
    (PodState.UP, PodEvent.STOP): PodState.STOPPING,
    (PodState.STOPPING, PodEvent.ENDED): PodState.STOPPED,
    (PodState.STOPPED, PodEvent.RELEASE): PodState.RELEASING,
    (PodState.RELEASING, PodEvent.FAILED): PodState.STOPPED,
    (PodState.RELEASING, PodEvent.RELEASED): PodState.RELEASED,
}

State = TypeVar("State", bound=Enum)
Event = TypeVar("Event", bound=Enum)


class IllegalStep(Exception):
    """The table has no row for this event in this state."""


def step(table: dict[tuple[State, Event], State], state: State, event: Event) -> State:
    try:
        return table[state, event]
    except KeyError:
        raise IllegalStep(f"{event.value} in state {state.value}") from None
