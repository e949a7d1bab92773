"""Writes down which volumes were chosen with a node, and waits until the claims are bound to them.

All on the event loop. What is decided and not yet seen is kept here, so that the next decision, which comes
before the writes are done, neither takes a volume twice nor tears a claim between two nodes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from sampan.api.objects import Obj, annotations_of, is_deleting, key_of, name_of, namespace_of
from sampan.api.persistence import (
    SELECTED_NODE,
    claim_ref,
    claimed,
    class_of,
    is_bound,
)
from sampan.api.resources import PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, STORAGE_CLASSES
from sampan.client.client import Client
from sampan.client.informers import Informers
from sampan.scheduler.volumes import NONE, Placement, Storage, VolumesAsked, placement, volumes_asked

DEADLINE_S = 600.0


class BindFault(Exception):
    """The claims were not bound; the Pod has to be looked at again."""


class VolumeBinder:
    """`changed` is called when something about storage has changed."""

    def __init__(self, client: Client, informers: Informers, *, deadline_s: float = DEADLINE_S) -> None:
        self._client, self._deadline_s = client, deadline_s
        self._claims = informers.informer(PERSISTENT_VOLUME_CLAIMS)
        self._volumes = informers.informer(PERSISTENT_VOLUMES)
        self._classes = informers.informer(STORAGE_CLASSES)
        self._taken: dict[str, str] = {}
        """Volume -> key of the claim it was decided for; until the placement is over."""
        self._placed: dict[str, str] = {}
        """Key of a claim -> the node it was decided for."""
        self._news = asyncio.Event()
        self.changed: Callable[[], None] = lambda: None
        self._volumes.add_index("scheduler", _class_if_open)
        self._storage = Storage(
            claim=self._claims.get,
            volume=self._volumes.get,
            storage_class=lambda name: self._classes.get(name) if name else None,
            offers=self._offers,
            node_of=self._node_of,
        )

    async def start(self) -> None:
        for informer in (self._claims, self._volumes, self._classes):
            await informer.wait_synced()
            informer.subscribe(self._changed)

    def _changed(self, old: Obj | None, new: Obj | None) -> None:
        self._news.set()
        self.changed()

    def asked(self, pod: Obj) -> VolumesAsked:
        """Raises NotBindable."""
        return volumes_asked(pod, self._storage) if pod["spec"].get("volumes") else NONE

    def _offers(self, claim: Obj) -> Iterable[Obj]:
        for volume in self._volumes.by_index("scheduler", class_of(claim)):
            if self._taken.get(name_of(volume), key_of(claim)) == key_of(claim):
                yield volume

    def _node_of(self, claim: Obj) -> str:
        return annotations_of(claim).get(SELECTED_NODE) or self._placed.get(key_of(claim), "")

    # --- from the decision to the bound claims

    def assume(self, asked: VolumesAsked, node: Obj) -> Placement:
        """For a node that has what is asked."""
        decided = placement(asked, node)
        assert decided is not None, "the filter let the node through"
        for volume, claim in decided.found:
            self._taken[name_of(volume)] = key_of(claim)
        for claim in decided.provided:
            self._placed[key_of(claim)] = decided.node
        return decided

    def forget(self, decided: Placement) -> None:
        """The placement is over, one way or the other."""
        for volume, _ in decided.found:
            self._taken.pop(name_of(volume), None)
        for claim in decided.provided:
            self._placed.pop(key_of(claim), None)

    async def bind(self, decided: Placement) -> None:
        """Raises BindFault, StatusError, OSError."""
        for volume, claim in decided.found:
            if not claim_ref(volume).get("uid"):
                await self._client.update(PERSISTENT_VOLUMES, claimed(volume, claim))
        for claim in decided.provided:
            if annotations_of(claim).get(SELECTED_NODE) != decided.node:
                patch = {
                    "metadata": {
                        "uid": claim["metadata"].get("uid"),
                        "annotations": {SELECTED_NODE: decided.node},
                    }
                }
                await self._client.patch(
                    PERSISTENT_VOLUME_CLAIMS, name_of(claim), patch, namespace=namespace_of(claim)
                )
        try:
            async with asyncio.timeout(self._deadline_s):
                await self._until_bound(decided)
        except TimeoutError:
            raise BindFault("context deadline exceeded") from None

    async def _until_bound(self, decided: Placement) -> None:
        waiting = [claim for _, claim in decided.found] + list(decided.provided)
        seen: set[str] = set()
        """Claims that were seen with the node on them."""
        while True:
            self._news.clear()
            waiting = [claim for claim in waiting if not self._is_bound(claim, decided.node, seen)]
            if not waiting:
                return
            await self._news.wait()

    def _is_bound(self, claim: Obj, node: str, seen: set[str]) -> bool:
        key = key_of(claim)
        now = self._claims.get(key)
        if now is None or is_deleting(now):
            raise BindFault(f'persistentvolumeclaim "{name_of(claim)}" not found')
        if is_bound(now):
            return True  # its status says so next; nobody need wait for that
        if annotations_of(now).get(SELECTED_NODE) == node:
            seen.add(key)
        elif key in seen:
            raise BindFault(f'provisioning failed for PVC "{name_of(claim)}"')
        return False


def _class_if_open(volume: Obj) -> list[str]:
    """The class of a volume that is free, or kept for a claim that is not bound to it yet."""
    phase = (volume.get("status") or {}).get("phase")
    return [class_of(volume)] if phase in ("Available", "Pending", None) else []
