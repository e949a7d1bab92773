"""An API server in memory, for unit tests of components: generic objects, revisions, conflicts and watches.

It defaults nothing, validates nothing and runs no controllers: what a test puts in is what a component sees.
Objects it hands out are shared, as the real transport's are; a component that writes to one is found out by
the next request that touches it.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from typing import NamedTuple

from sampan.api import clock, errors, patch
from sampan.api.objects import Obj, is_deleting, join_key, key_of, mutable, name_of, namespace_of
from sampan.api.request import Request, WatchEvent
from sampan.api.resources import NAMESPACES, Resource, find_kind
from sampan.client.shelves import Shelves, canonical, seen_by, selects


class Action(NamedTuple):
    """One request that came: `subresource` is part of `plural`, as in `pods/status`."""

    verb: str
    plural: str
    key: str


class FakeTransport:
    """Keeps `api.request.Transport`. Give it the objects that are there at the start.

    `actions` lists every write that came (and with `reads=True` every get, list and watch too).
    """

    def __init__(self, *objects: Obj, reads: bool = False, watch_list: bool = True) -> None:
        self.actions: list[Action] = []
        self.watch_list = watch_list
        """False: refuse `sendInitialEvents` with 422, as servers without WatchList do."""
        self._reads = reads
        self._shelves = Shelves()
        self._ended = asyncio.Event()
        self._failures: list[tuple[str, str, Exception]] = []
        self.add(*objects)

    @property
    def revision(self) -> int:
        """Of the newest change."""
        return self._shelves.revision

    # -- what tests do directly

    def add(self, *objects: Obj) -> None:
        """Creates or replaces, by apiVersion and kind, with no questions asked; status included."""
        for obj in objects:
            resource = find_kind(obj["apiVersion"], obj["kind"])
            if resource is None:
                raise LookupError(f"no resource for {obj['apiVersion']} {obj['kind']}")
            old = self._shelves.of(resource).get(key_of(obj))
            obj = mutable(obj)
            if old is not None:
                for field in ("uid", "creationTimestamp"):
                    obj["metadata"].setdefault(field, old["metadata"][field])
            self._shelves.put(resource, old, _born(obj))

    def get(self, resource: Resource, name: str, namespace: str = "") -> Obj | None:
        return self._shelves.of(resource).get(join_key(namespace, name))

    def objects(self, resource: Resource) -> list[Obj]:
        return list(self._shelves.of(resource).values())

    def remove(self, resource: Resource, name: str, namespace: str = "") -> None:
        """Takes an object away, finalizers or not."""
        self._shelves.drop(resource, self._shelves.of(resource)[join_key(namespace, name)])

    def fail(self, verb: str, plural: str, error: Exception, times: int = 1) -> None:
        """The next `times` requests of this kind raise `error`; `plural` as in `Action`."""
        self._failures += [(verb, plural, error)] * times

    def compact(self) -> None:
        """Forgets history: a watch from before now is answered 410."""
        self._shelves.compact()

    def end_watches(self) -> None:
        """Ends all streams, cleanly, as servers do now and then."""
        self._ended.set()
        self._ended = asyncio.Event()
        self._shelves.wake()

    # -- api.request.Transport

    async def call(self, request: Request) -> Obj:
        await asyncio.sleep(0)  # as the real ones, a request gives others a turn
        self._note(request)
        self._shelves.check_unwritten()
        return {
            "get": self._get,
            "list": self._list,
            "create": self._create,
            "update": self._update,
            "patch": self._patch,
            "delete": self._delete,
            "deletecollection": self._delete_collection,
        }[request.verb](request)

    async def watch(self, request: Request) -> AsyncIterator[WatchEvent]:
        self._note(request)
        initial = request.params.get("sendInitialEvents") == "true"
        if initial and not self.watch_list:
            raise errors.status_error(422, "Invalid", "sendInitialEvents: Forbidden: not supported")
        after = int(request.params.get("resourceVersion") or 0)
        ended = self._ended
        if initial or not after:
            after = self.revision
            for obj in self._selected(request):
                yield WatchEvent("ADDED", obj)
        if initial:
            metadata = {
                "resourceVersion": str(after),
                "annotations": {"k8s.io/initial-events-end": "true"},
            }
            yield WatchEvent("BOOKMARK", _headed(request.resource, {"metadata": metadata}))
        while not ended.is_set():
            grown = self._shelves.grown
            for change in self._shelves.since(after):
                after = change.revision
                if (event := seen_by(request, change)) is not None:
                    yield event
            if grown is self._shelves.grown:
                await grown.wait()

    async def close(self) -> None:
        self.end_watches()

    # -- verbs

    def _get(self, request: Request) -> Obj:
        return self._present(request)

    def _list(self, request: Request) -> Obj:
        items = self._selected(request)
        metadata = {"resourceVersion": str(self.revision)}
        start, limit = int(request.params.get("continue") or 0), int(request.params.get("limit") or 0)
        if limit and len(items) > start + limit:
            metadata["continue"] = str(start + limit)
        return {
            "apiVersion": request.resource.api_version,
            "kind": request.resource.list_kind or f"{request.resource.kind}List",
            "metadata": metadata,
            "items": items[start : start + limit if limit else None],
        }

    def _create(self, request: Request) -> Obj:
        resource, body = request.resource, _body(request)
        if request.subresource:
            return self._create_under(request, body)
        metadata = body.setdefault("metadata", {})
        if request.namespace:
            metadata["namespace"] = request.namespace
        if not metadata.get("name"):
            metadata["name"] = f"{metadata['generateName']}{uuid.uuid4().hex[:5]}"
        if metadata.pop("resourceVersion", ""):
            raise errors.bad_request("resourceVersion should not be set on objects to be created")
        if key_of(body) in self._shelves.of(resource):
            raise errors.already_exists(resource, name_of(body))
        for field in ("uid", "creationTimestamp", "deletionTimestamp"):
            metadata.pop(field, None)
        return self._shelves.put(resource, None, _born(_headed(resource, body)))

    def _create_under(self, request: Request, body: Obj) -> Obj:
        """The subresources that one posts to."""
        old = self._present(request)
        if request.subresource == "binding":
            if (old.get("spec") or {}).get("nodeName"):
                raise errors.conflict(request.resource, request.name, "pod is already assigned to a node")
            new = mutable(old)
            new.setdefault("spec", {})["nodeName"] = body["target"]["name"]
            scheduled = {"type": "PodScheduled", "status": "True", "lastTransitionTime": clock.now()}
            status = new.setdefault("status", {})
            others = [it for it in status.get("conditions") or () if it["type"] != "PodScheduled"]
            status["conditions"] = [*others, scheduled]
            self._shelves.put(request.resource, old, new)
            return _success()
        if request.subresource == "eviction":
            return self._delete(request)
        if request.subresource == "token":
            status = {"token": f"token-of-{request.name}", "expirationTimestamp": clock.now()}
            return body | {"status": status}
        raise errors.no_such_path()

    def _update(self, request: Request) -> Obj:
        body = _body(request)
        old = self._present(request)
        return self._replace(request, old, body)

    def _patch(self, request: Request) -> Obj:
        old = self._present(request)
        resource = request.resource
        kind = (resource.api_version, resource.kind)
        new = patch.apply(mutable(old), request.body, request.content_type, *kind)
        return self._replace(request, old, new)

    def _replace(self, request: Request, old: Obj, body: Obj) -> Obj:
        """Stores of `body` what the (sub)resource owns. 409 if it was made of another object or revision."""
        resource = request.resource
        asked = body["metadata"].get("resourceVersion")
        if asked and asked != old["metadata"]["resourceVersion"]:
            raise errors.conflict(resource, request.name)
        if (uid := body["metadata"].get("uid")) and uid != old["metadata"]["uid"]:
            raise errors.conflict(resource, request.name, f"Precondition failed: UID {uid}")
        new = mutable(old)
        if request.subresource in ("status", "approval"):
            new["status"] = body.get("status") or {}
            if annotations := body["metadata"].get("annotations"):
                new["metadata"]["annotations"] = annotations
        elif request.subresource == "finalize":
            new["spec"] = body.get("spec") or {}
        elif request.subresource == "scale":
            new["spec"]["replicas"] = body["spec"]["replicas"]
        else:
            kept = {field: old["metadata"][field] for field in _KEPT if field in old["metadata"]}
            new = _headed(resource, body)
            new["metadata"] = {k: v for k, v in body["metadata"].items() if k not in _KEPT} | kept
            if resource.subresource("status") is not None:
                new.pop("status", None)
                if "status" in old:
                    new["status"] = mutable(old["status"])
        if "generation" in old["metadata"] and new.get("spec") != old.get("spec"):
            new["metadata"]["generation"] = old["metadata"]["generation"] + 1
        if canonical(new) == canonical(old):
            return old
        stored = self._shelves.put(resource, old, new)
        waiting = stored["metadata"].get("deletionGracePeriodSeconds")
        if is_deleting(stored) and not waiting and not _held(resource, stored):
            self._shelves.drop(resource, stored)
        return stored

    def _delete(self, request: Request) -> Obj:
        resource, old = request.resource, self._present(request)
        options = request.body if isinstance(request.body, dict) else {}
        wanted = options.get("preconditions") or {}
        for field in ("uid", "resourceVersion"):
            if wanted.get(field) and wanted[field] != old["metadata"][field]:
                raise errors.conflict(resource, request.name, f"Precondition failed: {field}")
        grace_s = int(options.get("gracePeriodSeconds") or 0)
        finalizer = _DEPENDENTS_FIRST.get(options.get("propagationPolicy", ""))
        if not (grace_s or finalizer or _held(resource, old)):
            self._shelves.drop(resource, old)
            return _success()
        new = mutable(old)
        new["metadata"].setdefault("deletionTimestamp", clock.now())
        new["metadata"]["deletionGracePeriodSeconds"] = grace_s
        if finalizer and finalizer not in new["metadata"].setdefault("finalizers", []):
            new["metadata"]["finalizers"].append(finalizer)
        if resource == NAMESPACES:
            new["status"] = {"phase": "Terminating"}
        return self._shelves.put(resource, old, new)

    def _delete_collection(self, request: Request) -> Obj:
        for obj in self._selected(request):
            self._delete(
                Request("delete", request.resource, namespace_of(obj), name_of(obj), body=request.body)
            )
        return _success()

    # -- inside

    def _present(self, request: Request) -> Obj:
        obj = self._shelves.of(request.resource).get(join_key(request.namespace, request.name))
        if obj is None:
            raise errors.not_found(request.resource, request.name)
        return obj

    def _selected(self, request: Request) -> list[Obj]:
        return [obj for _, obj in sorted(self._shelves.of(request.resource).items()) if selects(request, obj)]

    def _note(self, request: Request) -> None:
        plural = "/".join(part for part in (request.resource.plural, request.subresource) if part)
        name = request.name
        if not name and isinstance(request.body, dict):
            metadata = request.body.get("metadata") or {}
            name = metadata.get("name") or metadata.get("generateName", "")
        action = Action(request.verb, plural, join_key(request.namespace, name))
        if self._reads or request.verb not in ("get", "list", "watch"):
            self.actions.append(action)
        for number, (verb, failing, error) in enumerate(self._failures):
            if (verb, failing) == (action.verb, action.plural):
                del self._failures[number]
                raise error


_KEPT = ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generation")
"""Metadata that an update cannot change."""

_DEPENDENTS_FIRST = {"Foreground": "foregroundDeletion", "Orphan": "orphan"}


def _body(request: Request) -> Obj:
    """The body as the caller gave it away; a copy, since tests like to keep theirs."""
    if not isinstance(request.body, dict):
        raise errors.bad_request("an object is needed")
    return mutable(request.body)


def _headed(resource: Resource, obj: Obj) -> Obj:
    return {"apiVersion": resource.api_version, "kind": resource.kind} | obj


def _born(obj: Obj) -> Obj:
    metadata = obj["metadata"]
    metadata.setdefault("uid", str(uuid.uuid4()))
    metadata.setdefault("creationTimestamp", clock.now())
    if "spec" in obj:
        metadata.setdefault("generation", 1)
    return obj


def _held(resource: Resource, obj: Obj) -> bool:
    """Whether something keeps a deleted object from going."""
    if obj["metadata"].get("finalizers"):
        return True
    return resource == NAMESPACES and bool((obj.get("spec") or {}).get("finalizers"))


def _success() -> Obj:
    return {"apiVersion": "v1", "kind": "Status", "metadata": {}, "status": "Success"}
