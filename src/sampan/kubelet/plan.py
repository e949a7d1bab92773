"""What to do next for one Pod: a pure function of what is known and of the time.

The worker performs the actions, records what came of them in the view and asks again; there is no other
place where anything is decided. Actions that are under way show in the view, so asking twice is harmless.
"""

from __future__ import annotations

from collections.abc import Iterator

from sampan.api.clock import parse_time
from sampan.api.objects import is_deleting
from sampan.api.restartpolicy import is_restarted
from sampan.kubelet.actions import (
    Action,
    Announce,
    Condemn,
    Delete,
    End,
    Ended,
    Forget,
    Kill,
    Prepare,
    Pull,
    Release,
    Signal,
    Start,
    Stop,
    Wake,
)
from sampan.kubelet.containerview import LABEL_HASH, ContainerView, Kind, spec_hash
from sampan.kubelet.lifecycle import ContainerState, PodState
from sampan.kubelet.podview import PodView

ERROR_SHOWN_S = 2.0
"""How long the error itself stands in the status before it says that one backs off."""
RETRY_S = 5.0
"""When to try again what failed for a reason that may pass without an event (create, configuration)."""
LEAST_GRACE_S = 2.0
"""What a process gets between its signal and SIGKILL, however long its preStop hook took."""

BACKS_OFF = "ErrImagePull"
"""The pull fault that becomes ImagePullBackOff; others (a bad name, a policy) stay what they are."""


def plan(view: PodView, now_s: float) -> list[Action]:
    """The actions to take now, in order; at most one Wake, the earliest."""
    actions = list(_PLANS[view.state](view, now_s))
    wakes = [action.at_s for action in actions if isinstance(action, Wake)]
    planned: list[Action] = [action for action in actions if not isinstance(action, Wake)]
    if wakes:
        planned.append(Wake(min(wakes)))
    return planned


def restarts(view: PodView, container: ContainerView) -> bool:
    """Whether an exited container is started again, some time."""
    if container.exit is None:
        return False
    if container.replace:
        return True
    if container.kind is Kind.EPHEMERAL or (container.init and container.succeeded and not container.sidecar):
        return False
    return is_restarted(container.spec, view.restart_policy, container.exit.code)


def is_finished(view: PodView) -> bool:
    """Whether all that the Pod was for has happened: no main container runs or will."""
    if any(failed_for_good(view, container) for container in view.init):
        return True
    return all(
        container.state is ContainerState.EXITED and not restarts(view, container) for container in view.app
    )


def failed_for_good(view: PodView, container: ContainerView) -> bool:
    return (
        container.state is ContainerState.EXITED and not container.succeeded and not restarts(view, container)
    )


def retry_due_s(container: ContainerView) -> float:
    """When a container that is not running may be tried again."""
    if container.state is ContainerState.EXITED and container.exit is not None:
        ended_s = container.ended_s or container.exit.finished_at_s
        return 0.0 if container.replace else container.backoff.due_s(ended_s)
    return container.fault.at_s + RETRY_S if container.fault else 0.0


def kill_due_s(container: ContainerView) -> float:
    """When SIGKILL follows; 0 if the container is not ending or was killed."""
    ending = container.ending
    if ending is None or ending.killed:
        return 0.0
    return max(ending.over_s, (ending.signalled_s or ending.over_s) + LEAST_GRACE_S)


def _new(view: PodView, now_s: float) -> Iterator[Action]:
    if view.doomed:
        yield End(view.grace_period_s())
    elif view.prepare_due_s > now_s:
        yield Wake(view.prepare_due_s)
    else:
        yield Prepare()
        yield from _pulls(view, now_s)


def _preparing(view: PodView, now_s: float) -> Iterator[Action]:
    if view.doomed:
        yield End(view.grace_period_s())
    else:
        yield from _pulls(view, now_s)


def _up(view: PodView, now_s: float) -> Iterator[Action]:
    if view.doomed or is_finished(view):
        yield End(view.grace_period_s())
        return
    if (deadline_s := _deadline_s(view)) is not None:
        if deadline_s <= now_s:
            yield Condemn("DeadlineExceeded", "Pod was active on the node longer than the specified deadline")
            return
        yield Wake(deadline_s)
    pulls = list(_pulls(view, now_s))
    yield from pulls
    for container in _current(view):
        yield from _advance(view, container, now_s)
        if container.kind is not Kind.EPHEMERAL and (
            container.state is ContainerState.STARTING
            or container.warming
            or container.pulling
            or Pull(container.name) in pulls
            or _startable(view, container, now_s)
        ):
            # Containers start in the order of the spec, each after the one before has started.
            break
    for container in view.containers:
        if container.state is ContainerState.STOPPING:
            yield from _ending(container, now_s)


def _stopping(view: PodView, now_s: float) -> Iterator[Action]:
    busy = view.preparing
    for container in view.containers:
        if container.pulling or not container.at_rest:
            busy = True
        if container.state is ContainerState.RUNNING and view.drained:
            yield Stop(container.name, _remaining_s(view, now_s), f"Stopping container {container.name}")
        elif container.state is ContainerState.STOPPING:
            yield from _ending(container, now_s, has_turn=_has_turn(view, container))
    if not busy and view.drained:
        yield Ended()


def _stopped(view: PodView, now_s: float) -> Iterator[Action]:
    yield Wake(view.release_due_s) if view.release_due_s > now_s else Release()


def _released(view: PodView, now_s: float) -> Iterator[Action]:
    if view.gone:
        yield Forget()
    elif is_deleting(view.pod) and not view.deleting:
        yield Wake(view.delete_due_s) if view.delete_due_s > now_s else Delete()


def _nothing(view: PodView, now_s: float) -> Iterator[Action]:
    yield from ()


_PLANS = {
    PodState.NEW: _new,
    PodState.PREPARING: _preparing,
    PodState.UP: _up,
    PodState.STOPPING: _stopping,
    PodState.STOPPED: _stopped,
    PodState.RELEASING: _nothing,
    PodState.RELEASED: _released,
}


def _current(view: PodView) -> list[ContainerView]:
    """The containers whose turn it is.

    Ephemeral ones always; sidecars from their turn on; of the other init containers the first that has not
    succeeded; the main ones once all before them have passed. What has once begun is not held up by a sidecar
    that is being restarted.
    """
    current = list(view.ephemeral)
    if view.initialized:
        return [*current, *view.sidecars, *view.app]
    begun = [number for number, container in enumerate(view.init) if container.begun]
    front = begun[-1] if begun else 0
    for number, container in enumerate(view.init):
        if container.sidecar:
            current.append(container)
        if number < front or container.passed:
            continue
        return current if container.sidecar else [*current, container]
    return [*current, *view.app]


def _has_turn(view: PodView, container: ContainerView) -> bool:
    """Sidecars end after all main containers, the last one of the spec first (KEP-753)."""
    if not container.sidecar:
        return True
    sidecars = view.sidecars
    later = sidecars[sidecars.index(container) + 1 :]
    return all(other.at_rest for other in (*view.app, *later))


def _pulls(view: PodView, now_s: float) -> Iterator[Action]:
    for container in _current(view):
        if container.image is not None or container.pulling or not container.at_rest or container.spent:
            continue
        if container.state is ContainerState.EXITED and not restarts(view, container):
            continue
        if container.pull_fault is None:
            due_s = retry_due_s(container)
        else:
            due_s = container.pull_backoff.due_s(container.pull_fault.at_s)
            said = container.announced is container.pull_fault or container.pull_fault.reason != BACKS_OFF
            if due_s > now_s and not said:
                shown_s = container.pull_fault.at_s + ERROR_SHOWN_S
                yield Announce(container.name) if shown_s <= now_s else Wake(shown_s)
        yield Wake(due_s) if due_s > now_s else Pull(container.name)


def _startable(view: PodView, container: ContainerView, now_s: float) -> bool:
    if container.spent or container.image is None or not container.at_rest or retry_due_s(container) > now_s:
        return False
    return container.state is ContainerState.WAITING or restarts(view, container)


def _advance(view: PodView, container: ContainerView, now_s: float) -> Iterator[Action]:
    state = container.state
    if container.at_rest:
        if _startable(view, container, now_s):
            yield Start(container.name)
        elif state is ContainerState.EXITED and restarts(view, container):
            due_s = retry_due_s(container)
            if due_s > now_s:
                shown_s = container.fault.at_s + ERROR_SHOWN_S if container.fault else 0.0
                if shown_s > now_s:
                    yield Wake(min(shown_s, due_s))
                elif container.announced != container.attempt:
                    yield Announce(container.name)
                yield Wake(due_s)
    elif state is ContainerState.RUNNING and container.record is not None:
        if container.unhealthy:
            grace_s = container.unhealthy_grace_s
            yield Stop(
                container.name, view.grace_period_s() if grace_s is None else grace_s, container.unhealthy
            )
        elif container.record.spec.labels.get(LABEL_HASH) != spec_hash(container.spec):
            why = f"Container {container.name} definition changed, will be restarted"
            yield Stop(container.name, view.grace_period_s(), why)


def _ending(container: ContainerView, now_s: float, *, has_turn: bool = True) -> Iterator[Action]:
    """`has_turn`: nothing has to end before it does; a grace period that is over waits for nobody."""
    ending = container.ending
    if ending is not None and not ending.signalled_s and not ending.killed:
        if ending.over_s <= now_s or (has_turn and not ending.hooked):
            yield Signal(container.name)
            return
        yield Wake(ending.over_s)
    elif due_s := kill_due_s(container):
        yield Wake(due_s) if due_s > now_s else Kill(container.name)


def _remaining_s(view: PodView, now_s: float) -> float:
    """What is left of the grace period after the Pod has left the endpoints."""
    return max(view.grace_s - (now_s - view.ending_s), 0.0)


def _deadline_s(view: PodView) -> float | None:
    seconds = view.pod["spec"].get("activeDeadlineSeconds")
    if seconds is None:
        return None
    started = (view.pod.get("status") or {}).get("startTime")
    return float(seconds) + (parse_time(started) if started else view.seen_s)
