"""Keeps every ReplicaSet, or every ReplicationController, at its number of Pods.

What was created or deleted and not yet seen is kept in `Unseen`: until all of it was shown by the Pod
informer, a reconcile writes status but neither creates nor deletes.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterable

from sampan.api.errors import StatusError, not_found
from sampan.api.objects import (
    Obj,
    controller_of,
    is_deleting,
    join_key,
    key_of,
    labels_of,
    mutable,
    name_of,
    namespace_of,
    split_key,
    uid_of,
)
from sampan.api.podspec import is_active
from sampan.api.resources import PODS
from sampan.api.selectors import Selector
from sampan.client.client import Client
from sampan.client.controller import Controller
from sampan.client.events import EventRecorder
from sampan.client.informers import Informers
from sampan.controllers import ownership
from sampan.controllers.replicaset.kind import REPLICA_SET, REPLICATION_CONTROLLER, Kind
from sampan.controllers.replicaset.plan import BURST, Plan, batches, plan, pod_from_template
from sampan.controllers.replicaset.status import Failure, same, status
from sampan.controllers.replicaset.unseen import DOUBTFUL_S, Unseen


class ReplicaSetController:
    """Of the one kind or the other, as `kind` says."""

    def __init__(
        self, client: Client, informers: Informers, events: EventRecorder, kind: Kind = REPLICA_SET
    ) -> None:
        self._client = client
        self._events = events
        self._kind = kind
        self._sets = informers.informer(kind.resource)
        self._pods = informers.informer(PODS)
        self._unseen = Unseen()
        self._controller = Controller(kind.resource.singular, self.reconcile)
        for informer in (self._sets, self._pods):
            informer.add_index("controller", ownership.by_controller)
        self._sets.add_index("namespace", lambda obj: (namespace_of(obj),))
        self._pods.subscribe(self._pod_changed)
        self._sets.subscribe(self._set_changed)

    async def run(self) -> None:
        await self._sets.wait_synced()
        await self._pods.wait_synced()
        await self._controller.run()

    # --- what wakes it

    def _set_changed(self, old: Obj | None, new: Obj | None) -> None:
        for obj in (old, new):
            if obj is not None:
                self._controller.enqueue(key_of(obj))

    def _pod_changed(self, old: Obj | None, new: Obj | None) -> None:
        pod = new or old
        assert pod is not None
        keys = set(self._owner_keys(old)) | set(self._owner_keys(new))
        for key in keys:
            self._unseen.saw(key, uid_of(pod), goes=new is None or is_deleting(new))
            self._controller.enqueue(key)
        if new is not None and controller_of(new) is None:
            for replica_set in self._sets.by_index("namespace", namespace_of(new)):
                if self._kind.selector(replica_set).matches(labels_of(new)):
                    self._controller.enqueue(key_of(replica_set))

    def _owner_keys(self, pod: Obj | None) -> Iterable[str]:
        owner = controller_of(pod) if pod is not None else None
        if pod is not None and owner is not None and owner["kind"] == self._kind.resource.kind:
            yield join_key(namespace_of(pod), owner["name"])

    # --- what it does

    async def reconcile(self, key: str) -> float | None:
        replica_set = self._sets.get(key)
        if replica_set is None:
            self._unseen.forget(key)
            return None
        selector = self._kind.selector(replica_set)
        pods = await self._claim(replica_set, selector)
        active = [pod for pod in pods if is_active(pod)]
        failure = None
        if await self._all_seen(key) and not is_deleting(replica_set):
            replicas = replica_set["spec"].get("replicas", 1)
            step = plan(replicas, active, self._siblings_on_node(replica_set), time.time())
            failure = await self._carry_out(replica_set, key, step)
        again_s = await self._write_status(replica_set, active, sum(map(is_deleting, pods)), failure)
        if self._unseen.any(key):
            return min(again_s, DOUBTFUL_S) if again_s is not None else DOUBTFUL_S
        return again_s

    async def _all_seen(self, key: str) -> bool:
        for uid, pod in self._unseen.doubtful(key, time.monotonic()):
            namespace, name = split_key(pod)
            try:
                found = await self._client.get(PODS, name, namespace)
            except StatusError as error:
                if error.code != 404:
                    raise
                found = None
            if found is None or uid_of(found) != uid:
                self._unseen.saw(key, uid, goes=True)
        return not self._unseen.any(key)

    async def _claim(self, replica_set: Obj, selector: Selector) -> list[Obj]:
        candidates = self._pods.by_index("controller", uid_of(replica_set))
        orphans = self._pods.by_index("controller", ownership.orphans_in(namespace_of(replica_set)))
        # An orphan that has finished is left alone: it would be no replica.
        claimed = ownership.claim(
            replica_set, selector, [*candidates, *(pod for pod in orphans if is_active(pod))]
        )
        if claimed.adopt:
            await self._still_there(replica_set)
        adopted = [
            pod for pod in claimed.adopt if await self._patch(pod, ownership.adoption_patch(replica_set, pod))
        ]
        for pod in claimed.release:
            await self._patch(pod, ownership.release_patch(uid_of(replica_set), pod))
        return [*claimed.owned, *adopted]

    async def _still_there(self, replica_set: Obj) -> None:
        """Asks the API itself before adopting: a cache may show a set that is gone or on its way out."""
        fresh = await self._client.get(self._kind.resource, name_of(replica_set), namespace_of(replica_set))
        if uid_of(fresh) != uid_of(replica_set) or is_deleting(fresh):
            raise not_found(self._kind.resource, name_of(replica_set))

    async def _patch(self, pod: Obj, patch: Obj) -> bool:
        try:
            await self._client.patch(PODS, name_of(pod), patch, namespace=namespace_of(pod))
        except StatusError as error:
            if error.code == 404:
                return False
            raise
        return True

    def _siblings_on_node(self, replica_set: Obj) -> Counter[str]:
        """Active Pods a node, of all sets with the same controller (the old and new ones of a rollout)."""
        owner = controller_of(replica_set)
        sets = self._sets.by_index("controller", owner["uid"]) if owner else [replica_set]
        return Counter(
            pod["spec"].get("nodeName", "")
            for each in sets
            for pod in self._pods.by_index("controller", uid_of(each))
            if is_active(pod)
        )

    async def _carry_out(self, replica_set: Obj, key: str, step: Plan) -> Failure | None:
        if step.create:
            return await self._create(replica_set, key, step.create)
        if step.delete:
            for pod in step.delete:
                self._unseen.deleting(key, uid_of(pod))
            results = await asyncio.gather(*(self._delete(replica_set, key, pod) for pod in step.delete))
            return _first(results)
        return None

    async def _create(self, replica_set: Obj, key: str, count: int) -> Failure | None:
        for size in batches(min(count, BURST)):
            results = await asyncio.gather(*(self._create_one(replica_set, key) for _ in range(size)))
            if (failure := _first(results)) is not None:
                return failure
        return None

    async def _create_one(self, replica_set: Obj, key: str) -> Failure | None:
        try:
            pod = await self._client.create(PODS, pod_from_template(replica_set))
        except (StatusError, OSError) as error:
            if _namespace_is_going(error):
                return None
            self._events.event(replica_set, "Warning", "FailedCreate", f"Error creating: {error}")
            return Failure("FailedCreate", error)
        shown = self._pods.get(key_of(pod))
        if shown is None or uid_of(shown) != uid_of(pod):
            self._unseen.created(key, uid_of(pod), key_of(pod), time.monotonic())
        self._events.event(replica_set, "Normal", "SuccessfulCreate", f"Created pod: {name_of(pod)}")
        return None

    async def _delete(self, replica_set: Obj, key: str, pod: Obj) -> Failure | None:
        try:
            await self._client.delete(PODS, name_of(pod), namespace=namespace_of(pod), uid=uid_of(pod))
        except (StatusError, OSError) as error:
            self._unseen.saw(key, uid_of(pod), goes=True)
            if isinstance(error, StatusError) and error.code in (404, 409):
                return None  # gone already, by whatever hand
            self._events.event(replica_set, "Warning", "FailedDelete", f"Error deleting: {error}")
            return Failure("FailedDelete", error)
        self._events.event(replica_set, "Normal", "SuccessfulDelete", f"Deleted pod: {name_of(pod)}")
        return None

    async def _write_status(
        self, replica_set: Obj, active: list[Obj], terminating: int, failure: Failure | None
    ) -> float | None:
        new, again_s = status(replica_set, active, terminating, failure, time.time())
        if not self._kind.counts_terminating:
            del new["terminatingReplicas"]
        if not same(replica_set.get("status"), new):
            changed = mutable(replica_set)
            changed["status"] = new
            try:
                await self._client.update_status(self._kind.resource, changed)
            except StatusError as error:
                if error.code != 404:  # 404: the set has gone meanwhile, and its status with it
                    raise
        if failure is not None:
            raise failure.error  # the queue tries again, later each time
        return again_s


class ReplicationControllerController(ReplicaSetController):
    def __init__(self, client: Client, informers: Informers, events: EventRecorder) -> None:
        super().__init__(client, informers, events, REPLICATION_CONTROLLER)


def _first(results: Iterable[Failure | None]) -> Failure | None:
    return next((failure for failure in results if failure is not None), None)


def _namespace_is_going(error: Exception) -> bool:
    if not isinstance(error, StatusError):
        return False
    causes = (error.status.get("details") or {}).get("causes") or ()
    return any(cause.get("reason") == "NamespaceTerminating" for cause in causes)
