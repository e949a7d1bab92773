"""The attempts at one Pod's containers: each is begun, runs, and ends once.

An attempt has an ID of its own; the runtime may tell its end before it has answered the start.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from sampan.kubelet import adoption, starter, steady
from sampan.kubelet.containerspec import PodPlace
from sampan.kubelet.containerview import ContainerView, Fault
from sampan.kubelet.health import Health
from sampan.kubelet.hookruns import HookRuns
from sampan.kubelet.lifecycle import ContainerState, PodState
from sampan.kubelet.parts import Parts, Say, Spawn
from sampan.kubelet.podview import PodView
from sampan.kubelet.runtime.contract import Exit, Record


class Attempts:
    """`awake` makes the Pod's worker look again."""

    def __init__(
        self,
        parts: Parts,
        view: PodView,
        say: Say,
        spawn: Spawn,
        awake: Callable[[], None],
        *,
        health: Health,
        hooks: HookRuns,
    ) -> None:
        self._parts, self._view, self._say, self._spawn, self._awake = parts, view, say, spawn, awake
        self._health, self._hooks = health, hooks
        self._place = PodPlace(parts.config.pods / view.uid)
        self._current: dict[str, ContainerView] = {}
        """Containers by the ID of their current attempt."""
        self._early: dict[str, Exit] = {}
        """Ends that the runtime told before it had answered the start."""

    def adopt(self) -> None:
        """The view was filled with what an earlier process left."""
        self._current = {c.record.spec.id: c for c in self._view.containers if c.record is not None}

    def watch_adopted(self) -> None:
        for container in self._view.containers:
            record = container.record
            if record is not None and container.state is ContainerState.RUNNING:
                known = container.started or container.ready
                self._health.watch(container, record, adopted=known)

    def begin(self, container: ContainerView) -> None:
        container.begin(steady.now_s(), self._parts.config.longest_backoff_s)
        container_id = starter.new_id()
        self._current = {known: view for known, view in self._current.items() if view is not container}
        self._current[container_id] = container
        self._spawn(self._start(container, container_id), "start")

    def exited(self, container_id: str, ended: Exit) -> bool:
        """Whether it was a container of this Pod."""
        container = self._current.get(container_id)
        if container is None:
            return False
        if container.state is ContainerState.STARTING:
            self._early[container_id] = ended
        elif container.record is not None and container.record.exit is None:
            self._exit(container, replace(container.record, exit=ended))
        return True

    async def _start(self, container: ContainerView, container_id: str) -> None:
        try:
            await self._attempt(container, container_id)
        finally:
            self._early.pop(container_id, None)

    async def _attempt(self, container: ContainerView, container_id: str) -> None:
        try:
            spec = await starter.configure(self._parts, self._view, container, container_id)
            if self._late():
                container.abandoned()
                return
            await starter.create(self._parts, spec)
            if self._late():
                await self._parts.runtime.remove(spec.id)
                container.abandoned()
                return
            self._say("Normal", "Created", f"Created container: {container.name}", container)
            record = await starter.start(self._parts, spec)
        except starter.StartFault as fault:
            self._failed(container, fault)
            return
        except BaseException as error:
            # Cancelled or not expected: what the runtime has of it is found by the next process.
            container.failed(Fault("RunContainerError", str(error), steady.now_s()))
            raise
        self._say("Normal", "Started", f"Started container {container.name}", container)
        for gap in record.gaps:
            self._say("Warning", "SecurityNotApplied", f"Container {container.name} {gap}", container)
        ended = self._early.get(container_id) or record.exit
        if ended is not None:
            self._exit(container, replace(record, exit=ended))
        else:
            container.running(record)
            self._run(container, record)
        self._count(container)
        self._awake()
        await starter.discard_old(self._parts, self._view, container)

    def _count(self, container: ContainerView) -> None:
        """A Pod has started when the first attempt at the last of its containers has."""
        view = self._view
        first = container in view.app and container.attempt == 0 and all(app.begun for app in view.app)
        self._parts.counters.started(steady.now_s() - view.seen_s if first else None)

    def _late(self) -> bool:
        """Whether the Pod has begun to end before its container ran: then it never does."""
        return self._view.state is not PodState.UP

    def _failed(self, container: ContainerView, fault: starter.StartFault) -> None:
        self._say("Warning", "Failed", f"Error: {fault.message}", container)
        shown = Fault(fault.reason, fault.message, steady.now_s())
        if fault.record is None:
            container.failed(shown)
        else:
            container.exited(fault.record, fault.message, shown)
            container.ended_s = steady.now_s()

    def _run(self, container: ContainerView, record: Record) -> None:
        """It runs: its postStart hook first, then its probes."""
        handler = (container.spec.get("lifecycle") or {}).get("postStart")
        if handler is None:
            self._health.watch(container, record)
        else:
            self._hooks.post_start(container, record, handler, lambda: self._warm(container, record))

    def _warm(self, container: ContainerView, record: Record) -> None:
        if container.record is record and container.state is ContainerState.RUNNING:
            self._health.watch(container, record)

    def _exit(self, container: ContainerView, record: Record) -> None:
        assert record.exit is not None
        self._hooks.cancel(container)
        self._health.ended(container)
        container.exited(record, adoption.last_words(container, record, record.exit, self._place))
        container.ended_s = steady.now_s()
