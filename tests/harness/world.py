"""An API server in memory and the components that run on it, for tests of what these come to together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, Protocol, TypeVar

from sampan.api.objects import Obj
from sampan.api.resources import EVENTS
from sampan.client.client import Client
from sampan.client.events import EventRecorder
from sampan.client.fake import FakeTransport
from sampan.client.informers import Informers


class Component(Protocol):
    def run(self) -> Coroutine[Any, Any, None]: ...


Making = Callable[[Client, Informers, EventRecorder], Component]
"""What a component's class is, or a function that gives it more than these three."""


class World:
    """`fake` is the server as tests see it; subclasses add the questions they ask of it."""

    def __init__(self, *objects: Obj, fake: FakeTransport | None = None) -> None:
        self.fake = fake or FakeTransport(*objects)
        self.client = Client(self.fake)
        self.informers = Informers(self.client)
        self.events = EventRecorder(self.client, "test")

    def state(self) -> object:
        """What to show when something never comes true."""
        return None

    async def until(self, true: Callable[[], bool], what: str = "") -> None:
        for _ in range(5000):
            if true():
                return
            await asyncio.sleep(0.001)
        raise AssertionError(f"never came true: {what} {self.state() or ''}")

    async def messages(self, reason: str) -> list[str]:
        """Those of all Events with this reason."""
        await self.events.flush()
        return [event["message"] for event in self.fake.objects(EVENTS) if event["reason"] == reason]


W = TypeVar("W", bound=World)


@asynccontextmanager
async def running(
    world: W, *parts: Making, beside: Coroutine[Any, Any, None] | None = None
) -> AsyncIterator[W]:
    """Runs the parts and `beside` on the world's server; none of them may have ended by itself."""
    runs = [part(world.client, world.informers, world.events).run() for part in parts]
    if beside is not None:
        runs.append(beside)
    tasks = [asyncio.create_task(run) for run in (*runs, world.informers.run())]
    await world.informers.wait_synced()
    try:
        yield world
    finally:
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        await world.events.close()
        assert all(isinstance(result, asyncio.CancelledError) for result in results), results
