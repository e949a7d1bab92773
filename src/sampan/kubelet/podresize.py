"""One Pod's resizes: asks the node for room, keeps what was granted on disk, and has the kernel follow.

The worker sees the Pod through `allocated`: with the amounts that were granted. What was granted and is not
yet so is done in a task of the Pod's; another version of the Pod meanwhile makes it go round once more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import orjson

from sampan.api.objects import Obj, revision_of, uid_of
from sampan.api.podspec import is_terminal
from sampan.kubelet import qos, resize
from sampan.kubelet.containerview import ContainerView
from sampan.kubelet.lifecycle import ContainerState, PodState
from sampan.kubelet.parts import Parts, Say, Spawn
from sampan.kubelet.podview import PodView
from sampan.kubelet.resize import ResizeState
from sampan.kubelet.runtime.contract import Resources, RuntimeFault

FILE = "resources.json"
RETRY_S = 10.0
"""Before a memory limit that was below what is in use is tried again."""


class PodResize:
    """`view` is set before anything but `begin` and `allocated` is called."""

    view: PodView

    def __init__(self, parts: Parts, say: Say, spawn: Spawn, again: Callable[[], None]) -> None:
        self._parts, self._say, self._spawn, self._again = parts, say, spawn, again
        self._path = Path()
        self._allocated: resize.Amounts = {}
        self._pod: Obj = {}
        self._given: dict[str, Resources] = {}
        """By container ID, where it is not what the container was started with."""
        self._task: asyncio.Task[None] | None = None
        self._of_pod: Resources | None = None
        """What the Pod's own cgroup was last told, None before the first resize."""
        self._replaced: list[ContainerView] = []
        """What is restarted for a resize that is done but for that."""
        self._asked = asyncio.Event()
        """Something else was granted since the last try."""
        self._open = False

    @property
    def latest(self) -> Obj:
        """The Pod as the API has it."""
        return self._pod

    def begin(self, pod: Obj) -> Obj:
        """The first look at the Pod, by this process."""
        self._path = self._parts.config.pods / uid_of(pod) / FILE
        self._pod = pod
        try:
            self._allocated = orjson.loads(self._path.read_bytes())
        except FileNotFoundError:
            self._allocated = resize.reported(pod)
        return resize.with_amounts(pod, self._allocated) if self._waits(pod) else pod

    def allocated(self, pod: Obj) -> Obj:
        """The Pod as the node runs it. Grants what is asked for if there is room."""
        if revision_of(pod) < revision_of(self._pod):
            return pod
        self._pod = pod
        view, state = self.view, self.view.resize
        if not self._open or view.doomed or is_terminal(pod):
            return resize.with_amounts(pod, self._allocated) if self._waits(pod) else pod
        if not self._waits(pod):
            if state.pending is not None:
                view.resize = ResizeState(None, state.in_progress, state.error)
                self._parts.allocation.stop_waiting(view.uid)
            return pod
        allocation = self._parts.allocation
        pending = resize.verdict(pod, allocation.room_for(view.uid), allocation.room)
        if pending is not None:
            if pending != state.pending:
                self._say("Warning", f"Resize{pending.reason}", pending.message)
            view.resize = ResizeState(pending, state.in_progress, state.error)
            if pending.reason == "Deferred":
                allocation.wait(pod, self._again)
            return resize.with_amounts(pod, self._allocated)
        self._grant(pod)
        return pod

    def open(self) -> None:
        """The Pod's worker runs: from now on resizes are granted, and what an earlier process had granted and
        not done is done.
        """
        self._open = True
        if self._waits(self._pod):
            self._again()
        elif any(self._differs(container) for container in self.view.containers):
            self._begin()

    def settle(self) -> None:
        """What had to be restarted for a resize has been, or will not be any more: then it is over."""
        if not self._replaced or (self._lasts() and any(_awaited(each) for each in self._replaced)):
            return
        self._replaced = []
        if self._task is None or self._task.done():
            self._end()

    def close(self) -> None:
        self._parts.allocation.stop_waiting(self.view.uid)

    def _waits(self, pod: Obj) -> bool:
        return resize.amounts(pod) != self._allocated

    def _grant(self, pod: Obj) -> None:
        before = {c.name: c.spec.get("resources") or {} for c in self.view.containers}
        self._of_pod = self._of_pod or qos.pod_resources(self.view.pod, self._parts.config.pod_pids_limit)
        self._allocated = resize.amounts(pod)
        self._save()
        self._parts.allocation.stop_waiting(self.view.uid)
        self._parts.allocation.update(pod)
        for container in self.view.containers:
            if container.state is ContainerState.RUNNING and container.granted is None:
                container.granted = before[container.name]
        self._begin()

    def _begin(self) -> None:
        self._asked.set()
        self.view.resize = ResizeState(None, in_progress=True)
        self._say("Normal", "ResizeStarted", f"Pod resize started: {_shown(self._allocated)}")
        if self._task is None or self._task.done():
            self._task = self._spawn(self._follow(), "resize")

    def _save(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        fresh = self._path.with_suffix(".new")
        fresh.write_bytes(orjson.dumps(self._allocated))
        fresh.rename(self._path)

    async def _follow(self) -> None:
        """Until the kernel holds the Pod to what was granted last."""
        await asyncio.sleep(0)  # the view follows the Pod that was granted in this very step
        while self._lasts():
            granted = self._allocated
            self._asked.clear()
            error = await self._apply()
            if self._allocated is not granted:
                continue
            if not error:
                self._replaced = [container for container in self.view.containers if container.replace]
                break
            if error != self.view.resize.error:
                self._say("Warning", "ResizeError", error)
            self.view.resize = ResizeState(self.view.resize.pending, in_progress=True, error=error)
            self._again()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._asked.wait(), RETRY_S)
        if not self._replaced:
            self._end()

    def _lasts(self) -> bool:
        return self.view.state in (PodState.NEW, PodState.PREPARING, PodState.UP)

    def _end(self) -> None:
        if self._lasts():
            self._say("Normal", "ResizeCompleted", f"Pod resize completed: {_shown(self._allocated)}")
        self.view.resize = ResizeState(self.view.resize.pending)

    async def _apply(self) -> str:
        """Why not, or "". Wider limits of the Pod first, narrower ones last: it always encloses its own."""
        view, config = self.view, self._parts.config
        wanted = qos.pod_resources(view.pod, config.pod_pids_limit)
        before = self._of_pod or wanted
        try:
            if view.sandbox is not None:
                await self._parts.runtime.set_sandbox_resources(view.uid, resize.larger(before, wanted))
            for container in view.containers:
                if problem := await self._apply_to(container):
                    return problem
            if view.sandbox is not None:
                used = self._parts.runtime.sandbox_stats(view.uid).working_set_bytes
                if problem := resize.too_small(wanted.memory_bytes, used, "pod"):
                    return problem
                await self._parts.runtime.set_sandbox_resources(view.uid, wanted)
        except RuntimeFault as fault:
            return fault.message
        self._of_pod = wanted
        return ""

    async def _apply_to(self, container: ContainerView) -> str:
        if (amounts := self._differs(container)) is not None:
            container_id, old, new = amounts
            if resize.needs_restart(container.spec, old, new):
                container.unhealthy = f"Container {container.name} resize requires restart"
                container.replace = True
                return ""
            used = self._parts.runtime.stats(container_id).working_set_bytes
            if problem := resize.too_small(new.memory_bytes, used, f"container {container.name}"):
                return problem
            await self._parts.runtime.set_resources(container_id, new)
            self._given = {**self._living(), container_id: new}
        container.granted = None
        return ""

    def _differs(self, container: ContainerView) -> tuple[str, Resources, Resources] | None:
        """(ID, what it is held to, what it should be) of a container that runs with something else."""
        record = container.record
        if container.state is not ContainerState.RUNNING or record is None:
            return None
        old = self._given.get(record.spec.id, record.spec.resources)
        new = qos.container_resources(self.view.pod, container.spec, self._parts.node_memory_bytes)
        return (record.spec.id, old, new) if resize.differ(old, new) else None

    def _living(self) -> dict[str, Resources]:
        """What was given to containers that are still there."""
        there = {c.record.spec.id for c in self.view.containers if c.record is not None}
        return {container_id: given for container_id, given in self._given.items() if container_id in there}


def _awaited(container: ContainerView) -> bool:
    return container.replace or container.state is ContainerState.STARTING


def _shown(allocated: resize.Amounts) -> str:
    return orjson.dumps({"containers": allocated}).decode()
