"""Empties every namespace that is being deleted, of all resources there are, and then lets it go.

Pods go first, and the rest only when the last of them has gone: as long as one runs, the network policies
that hold it must stand (KEP-5080, CVE-2024-7598). Nothing makes Pods anew: the API refuses them here.

Objects that take their time (Pods that stop gracefully, anything with a finalizer) are looked at again: at
once when a Pod of the namespace has gone, else after a delay that grows.
"""

from __future__ import annotations

import time

from sampan.api.errors import StatusError
from sampan.api.objects import Obj, is_deleting, mutable, namespace_of
from sampan.api.resources import NAMESPACES, PODS, Resource, all_resources
from sampan.client.client import Client
from sampan.client.controller import Controller
from sampan.client.events import EventRecorder
from sampan.client.informers import Informers
from sampan.controllers.namespace.progress import FINALIZER, conditions, remains

FIRST_LOOK_S = 0.1
LONGEST_LOOK_S = 10.0


def emptied_resources() -> list[Resource]:
    """Every stored, namespaced resource once: of several versions of one, the first that the table has."""
    found: dict[tuple[str, str], Resource] = {}
    for resource in all_resources():
        # Events of events.k8s.io are those of the core group by another name.
        stored = resource.served and resource.group != "events.k8s.io"
        if stored and resource.namespaced and {"list", "delete"} <= set(resource.verbs):
            found.setdefault((resource.group, resource.plural), resource)
    return sorted(found.values(), key=lambda resource: resource != PODS)


class NamespaceController:
    def __init__(self, client: Client, informers: Informers, events: EventRecorder) -> None:
        self._client = client
        self._namespaces = informers.informer(NAMESPACES)
        self._pods = informers.informer(PODS)
        self._resources = emptied_resources()
        self._looks: dict[str, float] = {}
        """Seconds until the next look, by namespace that still has something in it."""
        self._controller = Controller("namespace", self.reconcile)
        self._controller.follow(self._namespaces)
        self._pods.subscribe(self._pod_changed)

    async def run(self) -> None:
        await self._namespaces.wait_synced()
        await self._controller.run()

    def _pod_changed(self, old: Obj | None, new: Obj | None) -> None:
        if new is None and old is not None and namespace_of(old) in self._looks:
            self._controller.enqueue(namespace_of(old))

    async def reconcile(self, key: str) -> float | None:
        namespace = self._namespaces.get(key)
        if namespace is None or not is_deleting(namespace):
            self._looks.pop(key, None)
            return None
        if FINALIZER not in (namespace["spec"].get("finalizers") or ()):
            return None
        left, failures = await self._empty(key)
        what = remains(left, failures)
        namespace = await self._say(namespace, conditions(self._said(namespace), what, time.time()))
        if what.is_empty:
            await self._let_go(namespace)
            self._looks.pop(key, None)
            return None
        again_s = self._looks.get(key, FIRST_LOOK_S)
        self._looks[key] = min(again_s * 2, LONGEST_LOOK_S)
        return again_s

    async def _empty(self, namespace: str) -> tuple[dict[str, list[Obj]], list[str]]:
        """(objects left by `plural.group`, failures)."""
        left: dict[str, list[Obj]] = {}
        failures: list[str] = []
        for resource in self._resources:
            try:
                left[f"{resource.plural}.{resource.group}"] = await self._empty_of(namespace, resource)
            except StatusError as error:
                if error.code not in (404, 405):  # 404, 405: the server does not serve it
                    failures.append(f"{resource.qualified}: {error.message}")
            if resource == PODS and (failures or any(left.values())):
                break
        return left, failures

    async def _empty_of(self, namespace: str, resource: Resource) -> list[Obj]:
        found = await self._items(namespace, resource)
        fresh = [obj for obj in found if not is_deleting(obj)]
        if not fresh:
            return found
        if "deletecollection" in resource.verbs:
            await self._client.delete_collection(resource, namespace)
        else:
            for obj in fresh:
                await self._client.delete(resource, obj["metadata"]["name"], namespace=namespace)
        return await self._items(namespace, resource)

    async def _items(self, namespace: str, resource: Resource) -> list[Obj]:
        return list((await self._client.list(resource, namespace)).get("items") or ())

    def _said(self, namespace: Obj) -> list[Obj]:
        return (namespace.get("status") or {}).get("conditions") or []

    async def _say(self, namespace: Obj, listed: list[Obj]) -> Obj:
        if listed == self._said(namespace):
            return namespace
        changed = mutable(namespace)
        changed["status"] = {**(changed.get("status") or {}), "phase": "Terminating", "conditions": listed}
        return await self._client.update_status(NAMESPACES, changed)

    async def _let_go(self, namespace: Obj) -> None:
        changed = mutable(namespace)
        spec = changed["spec"]
        spec["finalizers"] = [name for name in spec.get("finalizers") or () if name != FINALIZER]
        try:
            await self._client.update(NAMESPACES, changed, subresource="finalize")
        except StatusError as error:
            if error.code != 404:
                raise
