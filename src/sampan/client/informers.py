"""One informer per resource and filter, shared by all components of a process; owns the informers' tasks."""

from __future__ import annotations

import asyncio

from sampan.api.resources import Resource
from sampan.client.client import Client
from sampan.client.informer import Informer


class Informers:
    def __init__(self, client: Client) -> None:
        self._client = client
        self._informers: dict[tuple[Resource, str, str, str], Informer] = {}
        self._group: asyncio.TaskGroup | None = None

    def informer(
        self,
        resource: Resource,
        namespace: str = "",
        label_selector: str = "",
        field_selector: str = "",
    ) -> Informer:
        """The informer for exactly this; it runs while `run` does."""
        asked = (resource, namespace, label_selector, field_selector)
        informer = self._informers.get(asked)
        if informer is None:
            informer = self._informers[asked] = Informer(self._client, *asked)
            if self._group is not None:
                self._start(self._group, informer)
        return informer

    async def wait_synced(self) -> None:
        """Returns once all informers asked for so far have caught up."""
        for informer in list(self._informers.values()):
            await informer.wait_synced()

    async def run(self) -> None:
        """Runs all informers, also those asked for later, until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                for informer in self._informers.values():
                    self._start(group, informer)
                # A group with no task would end at once; informers may be asked for at any time.
                await asyncio.get_running_loop().create_future()
        finally:
            self._group = None

    def _start(self, group: asyncio.TaskGroup, informer: Informer) -> None:
        group.create_task(informer.run(), name=f"informer-{informer.resource.plural}")
