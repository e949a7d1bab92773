"""Follows every resource there is, keeps the graph of owners, and acts where an owner is missing or going.

Informers of different resources run apart: an owner may be seen to go before its dependent is seen to have
been cut loose. So before anything is deleted both are asked for afresh; the caches only say where to look.
The informers share their objects with all other components of the process, the graph adds a small record for
each object that has an owner.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from functools import partial

from sampan.api.errors import StatusError
from sampan.api.objects import Obj, join_key, uid_of
from sampan.api.resources import Resource, all_resources, find_kind
from sampan.client.client import Client
from sampan.client.controller import Controller
from sampan.client.events import EventRecorder
from sampan.client.informer import Informer
from sampan.client.informers import Informers
from sampan.controllers.garbagecollector.graph import (
    FOREGROUND,
    ORPHAN,
    Graph,
    Item,
    Owner,
    Phase,
    Verdict,
    item_of,
    judge,
    owners_of,
    phase_of,
)

ABSENT_MOST = 500
"""uids remembered as gone, so that a thousand dependents of one owner do not all ask for it."""

UNOWNED = {
    ("networking.k8s.io", "ipaddresses"): "ipaddress.kubernetes.io/managed-by!=ipallocator.k8s.io",
}
"""Label selectors of what is worth following: the addresses of Services, as many as these, come and go with
them without an owner being named.
"""

log = logging.getLogger(__name__)


def collected_resources() -> list[Resource]:
    """Every stored resource once, but Events, which own nothing and are many."""
    found: dict[tuple[str, str], Resource] = {}
    for resource in all_resources():
        verbs = set(resource.verbs)
        if resource.served and {"list", "watch", "delete"} <= verbs and resource.kind != "Event":
            found.setdefault((resource.group, resource.plural), resource)
    return list(found.values())


class GarbageCollector:
    def __init__(self, client: Client, informers: Informers, events: EventRecorder) -> None:
        self._client = client
        self._graph = Graph()
        self._absent: OrderedDict[str, None] = OrderedDict()
        self._controller = Controller("garbagecollector", self.reconcile)
        self._informers: dict[tuple[str, str], Informer] = {}
        for resource in collected_resources():
            selector = UNOWNED.get((resource.group, resource.plural), "")
            informer = informers.informer(resource, label_selector=selector)
            self._informers[resource.group, resource.plural] = informer
            informer.subscribe(partial(self._changed, resource))

    async def run(self) -> None:
        for informer in self._informers.values():
            await informer.wait_synced()
        await self._controller.run()

    # --- what wakes it

    def _changed(self, resource: Resource, old: Obj | None, new: Obj | None) -> None:
        if new is None:
            assert old is not None
            self._gone(uid_of(old))
            return
        item = item_of(resource, new)
        known = self._graph.get(item.uid)
        if not self._graph.put(item):
            return
        if item.phase in (Phase.WAITS, Phase.ORPHANS) or (
            item.phase is Phase.LIVES and any(self._cached(item, owner) is None for owner in item.owners)
        ):
            self._controller.enqueue(item.uid)
        # An owner that waits may wait no more for a dependent whose references have changed.
        for owner in {*item.owners, *(known.owners if known else ())}:
            self._wake_owner(owner.uid)
            if item.phase is Phase.LIVES and self._phase_in_cache(item, owner) is Phase.WAITS:
                self._controller.enqueue(item.uid)

    def _gone(self, uid: str) -> None:
        self._remember_absent(uid)
        for dependent in self._graph.dependents(uid):
            self._controller.enqueue(dependent.uid)
        item = self._graph.remove(uid)
        for owner in item.owners if item else ():
            self._wake_owner(owner.uid)

    def _wake_owner(self, uid: str) -> None:
        owner = self._graph.get(uid)
        if owner is not None and owner.phase in (Phase.WAITS, Phase.ORPHANS):
            self._controller.enqueue(uid)

    # --- what it does

    async def reconcile(self, uid: str) -> float | None:
        item = self._graph.get(uid)
        if item is None:
            return None
        match item.phase:
            case Phase.ORPHANS:
                await self._orphan_dependents(item)
            case Phase.WAITS:
                await self._await_dependents(item)
            case Phase.LIVES:
                await self._check_owners(item)
            case Phase.GOES:
                pass  # nothing to add
        return None

    async def _orphan_dependents(self, item: Item) -> None:
        for dependent in self._graph.dependents(item.uid):
            live = await self._live(dependent)
            if live is not None:
                await self._cut(dependent, live, {item.uid})
        await self._take_finalizer(item, ORPHAN)

    async def _await_dependents(self, item: Item) -> None:
        if not self._graph.blocking(item.uid):
            await self._take_finalizer(item, FOREGROUND)
        for dependent in self._graph.dependents(item.uid):
            if dependent.phase is Phase.LIVES:
                self._controller.enqueue(dependent.uid)

    async def _check_owners(self, item: Item) -> None:
        live = await self._live(item)
        if live is None or phase_of(live) is not Phase.LIVES:
            return
        owners = [(owner, await self._phase(item, owner)) for owner in owners_of(live)]
        dependents = self._graph.dependents(item.uid)
        verdict, loose = judge(owners, bool(dependents))
        if verdict is Verdict.CUT:
            await self._cut(item, live, loose)
        elif verdict is Verdict.DELETE_FOREGROUND:
            if any(dependent.phase is Phase.WAITS for dependent in dependents):
                await self._unblock(item, live)  # a circle: each would wait for the next
            await self._delete(item, "Foreground")
        elif verdict is Verdict.DELETE:
            finalizers = live["metadata"].get("finalizers") or ()
            policy = "Orphan" if ORPHAN in finalizers else "Background"
            await self._delete(item, "Foreground" if FOREGROUND in finalizers else policy)

    # --- who is there

    def _informer(self, owner: Owner) -> tuple[Resource, Informer] | None:
        resource = find_kind(owner.api_version, owner.kind)
        informer = self._informers.get((resource.group, resource.plural)) if resource else None
        return (resource, informer) if resource and informer else None

    def _cached(self, item: Item, owner: Owner) -> Obj | None:
        found = self._informer(owner)
        if found is None:
            return None
        resource, informer = found
        obj = informer.get(join_key(item.namespace if resource.namespaced else "", owner.name))
        return obj if obj is not None and uid_of(obj) == owner.uid else None

    def _phase_in_cache(self, item: Item, owner: Owner) -> Phase | None:
        obj = self._cached(item, owner)
        return phase_of(obj) if obj is not None else None

    async def _phase(self, item: Item, owner: Owner) -> Phase | None:
        """None if there is no such owner. Of one that cannot be asked for it is taken that it lives."""
        cached = self._phase_in_cache(item, owner)
        if cached is Phase.LIVES or cached is Phase.WAITS:
            return cached
        if owner.uid in self._absent:
            return None
        resource = find_kind(owner.api_version, owner.kind)
        if resource is None:
            log.warning("garbagecollector: no resource %s %s", owner.api_version, owner.kind)
            return Phase.LIVES
        if resource.namespaced and not item.namespace:
            return Phase.LIVES  # a cluster-scoped object cannot have a namespaced owner: not ours to judge
        try:
            live = await self._client.get(resource, owner.name, item.namespace if resource.namespaced else "")
        except StatusError as error:
            if error.code != 404:
                raise
            self._remember_absent(owner.uid)
            return None
        if uid_of(live) != owner.uid:
            self._remember_absent(owner.uid)
            return None
        return phase_of(live)

    def _remember_absent(self, uid: str) -> None:
        self._absent[uid] = None
        if len(self._absent) > ABSENT_MOST:
            self._absent.popitem(last=False)

    async def _live(self, item: Item) -> Obj | None:
        try:
            obj = await self._client.get(item.resource, item.name, item.namespace)
        except StatusError as error:
            if error.code == 404:
                return None
            raise
        return obj if uid_of(obj) == item.uid else None

    # --- writes; each is refused (409) if the object has changed since it was asked for

    async def _cut(self, item: Item, live: Obj, uids: set[str]) -> None:
        references = live["metadata"].get("ownerReferences") or ()
        kept = [ref for ref in references if ref["uid"] not in uids]
        if len(kept) != len(references):
            await self._patch(item, live, {"ownerReferences": kept or None})

    async def _unblock(self, item: Item, live: Obj) -> None:
        references = live["metadata"].get("ownerReferences") or ()
        if any(ref.get("blockOwnerDeletion") for ref in references):
            freed = [{**ref, "blockOwnerDeletion": False} for ref in references]
            await self._patch(item, live, {"ownerReferences": freed})

    async def _take_finalizer(self, item: Item, finalizer: str) -> None:
        live = await self._live(item)
        finalizers = (live["metadata"].get("finalizers") or ()) if live is not None else ()
        if live is not None and finalizer in finalizers:
            kept = [each for each in finalizers if each != finalizer]
            await self._patch(item, live, {"finalizers": kept or None})

    async def _patch(self, item: Item, live: Obj, metadata: Obj) -> None:
        revision = live["metadata"]["resourceVersion"]
        patch: Obj = {"metadata": {"uid": item.uid, "resourceVersion": revision, **metadata}}
        try:
            await self._client.patch(item.resource, item.name, patch, namespace=item.namespace)
        except StatusError as error:
            if error.code != 404:
                raise

    async def _delete(self, item: Item, propagation: str) -> None:
        try:
            await self._client.delete(
                item.resource,
                item.name,
                namespace=item.namespace,
                uid=item.uid,
                propagation=propagation,
            )
        except StatusError as error:
            if error.code not in (404, 409):
                raise
