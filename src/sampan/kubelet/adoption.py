"""How a Pod's view is filled from what an earlier process left: the runtime's records, the API, the disk."""

from __future__ import annotations

from collections.abc import Sequence

from sampan.api.podspec import container_status, is_terminal
from sampan.kubelet import steady, termination
from sampan.kubelet.containerspec import PodPlace
from sampan.kubelet.containerstatus import SCHEME
from sampan.kubelet.containerview import LABEL_CONTAINER, ContainerView
from sampan.kubelet.lifecycle import PodState
from sampan.kubelet.podview import PodView
from sampan.kubelet.runtime.contract import Exit, Record, Sandbox


def adopt(view: PodView, sandbox: Sandbox | None, records: Sequence[Record], place: PodPlace) -> None:
    """`view` is new; afterwards it is as if this process had made all of it."""
    if not records and is_terminal(view.pod):
        # It had ended and was given back; releasing again costs little and mends a crash in between.
        view.state, view.finished = PodState.STOPPED, True
        return
    # Without a sandbox (after a reboot) what ran has ended; a new one is made for what is restarted.
    view.sandbox = sandbox
    for container in view.containers:
        own = [record for record in records if record.spec.labels.get(LABEL_CONTAINER) == container.name]
        container.adopt(sorted(own, key=lambda record: record.spec.attempt))
        _count_on(view, container)
        _resume(view, container, place)


def last_words(container: ContainerView, record: Record, ended: Exit, place: PodPlace) -> str:
    file = place.termination_log(container.name, record.spec.attempt)
    return termination.message(container.spec, file, place.log(container.name, record.spec.attempt), ended)


def _resume(view: PodView, container: ContainerView, place: PodPlace) -> None:
    """What only the API or the disk knows."""
    record, last = container.record, container.last
    if record is None:
        return
    if record.exit is not None:
        container.message = last_words(container, record, record.exit, place)
        container.ended_s = min(record.exit.finished_at_s, steady.now_s())
    if last is not None and last.exit is not None:
        container.last_message = last_words(container, last, last.exit, place)
    reported = container_status(view.pod, container.name) or {}
    if reported.get("containerID") == SCHEME + record.spec.id:
        container.started = bool(reported.get("started"))
        container.ready = bool(reported.get("ready"))


def _count_on(view: PodView, container: ContainerView) -> None:
    """Restarts are counted on from what the API says, which may name a container of which nothing is left."""
    reported = container_status(view.pod, container.name) or {}
    if not reported.get("containerID"):
        return
    if container.record is None:
        container.lost = reported
        container.attempt = reported["restartCount"] + 1
    else:
        container.attempt = max(container.attempt, reported["restartCount"])
