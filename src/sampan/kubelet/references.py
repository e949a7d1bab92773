"""ConfigMaps, Secrets and claims that this node's Pods refer to: each watched by name, while somebody does.

A node may read only what its Pods use, so there is one watch per object rather than one for all of them.
`get` answers from the cache once the watch has caught up, and asks the server before; so the first container
does not wait for a watch. One task group owns the watches; everything else runs on the event loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from sampan.api.errors import StatusError
from sampan.api.objects import Obj, join_key, namespace_of, revision_of, uid_of
from sampan.api.persistence import claims_of
from sampan.api.podreferences import named
from sampan.api.resources import PERSISTENT_VOLUME_CLAIMS, Resource
from sampan.client.client import Client
from sampan.client.informer import Informer

Name = tuple[Resource, str, str]
"""(resource, namespace, name)"""


@dataclass(slots=True)
class _Entry:
    informer: Informer
    task: asyncio.Task[None]
    users: set[str] = field(default_factory=set)
    seen: int = -1
    """The revision that was handed out before the watch had caught up; -1: nothing was asked."""


class References:
    """`changed(uid)` is called for every Pod that refers to an object that came, changed or went."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._entries: dict[Name, _Entry] = {}
        self._group: asyncio.TaskGroup | None = None
        self.changed: Callable[[str], None] = lambda uid: None

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            self._group = group
            await asyncio.get_running_loop().create_future()

    def hold(self, pod: Obj) -> None:
        """Watches what this Pod refers to. Idempotent."""
        uid, namespace = uid_of(pod), namespace_of(pod)
        for resource, name in referenced(pod):
            wanted = (resource, namespace, name)
            entry = self._entries.get(wanted)
            if entry is None and self._group is not None:
                entry = self._watch(self._group, wanted)
                self._entries[wanted] = entry
            if entry is not None:
                entry.users.add(uid)

    def release(self, uid: str) -> None:
        for name, entry in list(self._entries.items()):
            entry.users.discard(uid)
            if not entry.users:
                entry.task.cancel()
                del self._entries[name]

    async def get(self, resource: Resource, namespace: str, name: str) -> Obj | None:
        """The object, or None if there is none; raises StatusError, OSError."""
        entry = self._entries.get((resource, namespace, name))
        obj: Obj | None
        if entry is not None and entry.informer.synced:
            obj = entry.informer.get(join_key(namespace, name))
            if obj is not None and obj.get("immutable"):
                entry.task.cancel()  # it will never change: nobody needs to watch
            return obj
        try:
            obj = await self._client.get(resource, name, namespace)
        except StatusError as error:
            if error.code != 404:
                raise
            obj = None
        if entry is not None:
            entry.seen = revision_of(obj) if obj else 0
        return obj

    async def of(self, pod: Obj) -> dict[tuple[Resource, str], Obj | None]:
        """Everything a Pod refers to, by resource and name."""
        names = sorted(referenced(pod), key=lambda pair: (pair[0].plural, pair[1]))
        found = await asyncio.gather(*(self.get(resource, namespace_of(pod), n) for resource, n in names))
        return dict(zip(names, found, strict=True))

    def _watch(self, group: asyncio.TaskGroup, wanted: Name) -> _Entry:
        resource, namespace, name = wanted
        informer = Informer(self._client, resource, namespace, field_selector=f"metadata.name={name}")
        task = group.create_task(informer.run(), name=f"reference-{resource.plural}-{namespace}-{name}")
        entry = _Entry(informer, task)

        def heard(old: Obj | None, new: Obj | None) -> None:
            if not informer.synced and new is not None and entry.seen in (-1, revision_of(new)):
                return
            for uid in tuple(entry.users):
                self.changed(uid)

        informer.subscribe(heard)
        return entry


def referenced(pod: Obj) -> set[tuple[Resource, str]]:
    """(resource, name) of every ConfigMap, Secret and claim that the Pod needs."""
    claims = {(PERSISTENT_VOLUME_CLAIMS, use.claim) for use in claims_of(pod)}
    return claims | set(named(pod["spec"]))
