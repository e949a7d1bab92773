"""The hooks of one Pod's containers while they run: at most one per container, cancelled when it ends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from sampan.api.objects import Obj
from sampan.kubelet.containerview import ContainerView
from sampan.kubelet.health import target
from sampan.kubelet.hooks import HookFailed
from sampan.kubelet.parts import Parts, Say, Spawn
from sampan.kubelet.podview import PodView
from sampan.kubelet.runtime.contract import Record


class HookRuns:
    def __init__(self, parts: Parts, view: PodView, say: Say, spawn: Spawn) -> None:
        self._parts, self._view, self._say, self._spawn = parts, view, say, spawn
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def post_start(
        self, container: ContainerView, record: Record, handler: Obj, done: Callable[[], None]
    ) -> None:
        """Calls `done` if the hook succeeds; a container whose hook fails is ended."""
        container.warming = True
        self._tasks[container.name] = self._spawn(
            self._post_start(container, record, handler, done), "post-start"
        )

    def pre_stop(self, container: ContainerView, record: Record, handler: Obj) -> None:
        assert container.ending is not None
        container.ending.hooked = True
        self._tasks[container.name] = self._spawn(self._pre_stop(container, record, handler), "pre-stop")

    def cancel(self, container: ContainerView) -> None:
        task = self._tasks.get(container.name)
        if task is not None and task is not asyncio.current_task():
            task.cancel()
        container.warming = False
        if container.ending is not None:
            container.ending.hooked = False

    async def _post_start(
        self, container: ContainerView, record: Record, handler: Obj, done: Callable[[], None]
    ) -> None:
        try:
            await self._parts.hooks.run(target(self._view, container, record), handler)
        except HookFailed as failure:
            text = f"PostStartHook failed: {failure}"
            self._say("Warning", "FailedPostStartHook", text, container)
            if container.record is record and record.exit is None:
                container.unhealthy = "FailedPostStartHook"
            return
        finally:
            self._forget(container)
            container.warming = False
        done()

    async def _pre_stop(self, container: ContainerView, record: Record, handler: Obj) -> None:
        ending = container.ending
        try:
            await self._parts.hooks.run(target(self._view, container, record), handler)
        except HookFailed as failure:
            self._say("Warning", "FailedPreStopHook", f"PreStopHook failed: {failure}", container)
        finally:
            self._forget(container)
            if ending is not None:
                ending.hooked = False

    def _forget(self, container: ContainerView) -> None:
        if self._tasks.get(container.name) is asyncio.current_task():
            del self._tasks[container.name]
