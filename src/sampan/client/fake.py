"""An API server in memory, for unit tests of components: generic objects, revisions, conflicts and watches.

It defaults nothing, validates nothing and runs no controllers: what a test puts in is what a component sees.
Objects it hands out are shared, as the real transport's are; a component that writes to one is found out by
the next request that touches it.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from typing import NamedTuple, TypeAlias

import orjson

from sampan.api import clock, errors, patch
from sampan.api.fields import fields_of
from sampan.api.objects import Obj, is_deleting, join_key, key_of, mutable, name_of, namespace_of
from sampan.api.request import JSON_PATCH, MERGE_PATCH, STRATEGIC_MERGE_PATCH, Request, WatchEvent
from sampan.api.resources import NAMESPACES, Resource, find_kind
from sampan.api.selectors import parse_field_selector, parse_label_selector

Shelf: TypeAlias = tuple[str, str]
"""Group and plural: all versions of a resource are the same objects."""


class Action(NamedTuple):
    """One request that came: `subresource` is part of `plural`, as in `pods/status`."""

    verb: str
    plural: str
    key: str


class _Change(NamedTuple):
    shelf: Shelf
    revision: int
    old: Obj | None
    new: Obj | None
    """None: `old` was deleted; it carries the revision of the deletion."""


class FakeTransport:
    """Keeps `api.request.Transport`. Give it the objects that are there at the start.

    `actions` lists every write that came (and with `reads=True` every get, list and watch too).
    """

    def __init__(self, *objects: Obj, reads: bool = False, watch_list: bool = True) -> None:
        self.actions: list[Action] = []
        self.revision = 0
        self.watch_list = watch_list
        """False: refuse `sendInitialEvents` with 422, as servers without WatchList do."""
        self._reads = reads
        self._shelves: dict[Shelf, dict[str, Obj]] = {}
        self._texts: dict[int, tuple[Obj, bytes]] = {}
        """What each object was when it was stored, by id, to find out who writes to shared objects."""
        self._changes: list[_Change] = []
        self._oldest = 0
        self._grown = asyncio.Event()
        self._ended = asyncio.Event()
        self._failures: list[tuple[str, str, Exception]] = []
        self.add(*objects)

    # -- what tests do directly

    def add(self, *objects: Obj) -> None:
        """Creates or replaces, by apiVersion and kind, with no questions asked; status included."""
        for obj in objects:
            resource = find_kind(obj["apiVersion"], obj["kind"])
            if resource is None:
                raise LookupError(f"no resource for {obj['apiVersion']} {obj['kind']}")
            old = self._shelf(resource).get(key_of(obj))
            obj = mutable(obj)
            if old is not None:
                for field in ("uid", "creationTimestamp"):
                    obj["metadata"].setdefault(field, old["metadata"][field])
            self._store(resource, old, _born(obj))

    def get(self, resource: Resource, name: str, namespace: str = "") -> Obj | None:
        return self._shelf(resource).get(join_key(namespace, name))

    def objects(self, resource: Resource) -> list[Obj]:
        return list(self._shelf(resource).values())

    def remove(self, resource: Resource, name: str, namespace: str = "") -> None:
        """Takes an object away, finalizers or not."""
        self._drop(resource, self._shelf(resource)[join_key(namespace, name)])

    def fail(self, verb: str, plural: str, error: Exception, times: int = 1) -> None:
        """The next `times` requests of this kind raise `error`; `plural` as in `Action`."""
        self._failures += [(verb, plural, error)] * times

    def compact(self) -> None:
        """Forgets history: a watch from before now is answered 410."""
        self._changes.clear()
        self._oldest = self.revision

    def end_watches(self) -> None:
        """Ends all streams, cleanly, as servers do now and then."""
        self._ended.set()
        self._ended = asyncio.Event()
        self._grow()

    # -- api.request.Transport

    async def call(self, request: Request) -> Obj:
        await asyncio.sleep(0)  # as the real ones, a request gives others a turn
        self._note(request)
        self._check_unwritten()
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
            if after < self._oldest:
                raise errors.expired(f"too old resource version: {after} ({self._oldest})")
            grown = self._grown
            for change in [change for change in self._changes if change.revision > after]:
                after = change.revision
                if change.shelf == _shelf(request.resource) and (event := _event(request, change)):
                    yield event
            if grown is self._grown:
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
        if key_of(body) in self._shelf(resource):
            raise errors.already_exists(resource, name_of(body))
        for field in ("uid", "creationTimestamp", "deletionTimestamp"):
            metadata.pop(field, None)
        return self._store(resource, None, _born(_headed(resource, body)))

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
            self._store(request.resource, old, new)
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
        asked = body["metadata"].get("resourceVersion")
        if asked and asked != old["metadata"]["resourceVersion"]:
            raise errors.conflict(request.resource, request.name)
        if (uid := body["metadata"].get("uid")) and uid != old["metadata"]["uid"]:
            raise errors.conflict(request.resource, request.name, f"Precondition failed: UID {uid}")
        return self._replace(request, old, body)

    def _patch(self, request: Request) -> Obj:
        old = self._present(request)
        return self._replace(request, old, _patched(request, mutable(old)))

    def _replace(self, request: Request, old: Obj, body: Obj) -> Obj:
        """Stores of `body` what the (sub)resource owns."""
        resource = request.resource
        new = mutable(old)
        if request.subresource in ("status", "approval"):
            new["status"] = body.get("status") or {}
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
        if _dumps(new) == _dumps(old):
            return old
        stored = self._store(resource, old, new)
        waiting = stored["metadata"].get("deletionGracePeriodSeconds")
        if is_deleting(stored) and not waiting and not _held(resource, stored):
            self._drop(resource, stored)
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
            self._drop(resource, old)
            return _success()
        new = mutable(old)
        new["metadata"].setdefault("deletionTimestamp", clock.now())
        new["metadata"]["deletionGracePeriodSeconds"] = grace_s
        if finalizer and finalizer not in new["metadata"].setdefault("finalizers", []):
            new["metadata"]["finalizers"].append(finalizer)
        if resource == NAMESPACES:
            new["status"] = {"phase": "Terminating"}
        return self._store(resource, old, new)

    def _delete_collection(self, request: Request) -> Obj:
        for obj in self._selected(request):
            self._delete(
                Request("delete", request.resource, namespace_of(obj), name_of(obj), body=request.body)
            )
        return _success()

    # -- state

    def _shelf(self, resource: Resource) -> dict[str, Obj]:
        return self._shelves.setdefault(_shelf(resource), {})

    def _present(self, request: Request) -> Obj:
        obj = self._shelf(request.resource).get(join_key(request.namespace, request.name))
        if obj is None:
            raise errors.not_found(request.resource, request.name)
        return obj

    def _selected(self, request: Request) -> list[Obj]:
        return [obj for _, obj in sorted(self._shelf(request.resource).items()) if _matches(request, obj)]

    def _store(self, resource: Resource, old: Obj | None, new: Obj) -> Obj:
        """Puts `new` in with the next revision; the caller gives it away."""
        self.revision += 1
        new["metadata"]["resourceVersion"] = str(self.revision)
        self._shelf(resource)[key_of(new)] = new
        self._texts[id(new)] = (new, _dumps(new))
        self._changed(_Change(_shelf(resource), self.revision, old, new))
        return new

    def _drop(self, resource: Resource, old: Obj) -> None:
        self.revision += 1
        del self._shelf(resource)[key_of(old)]
        last = mutable(old)
        last["metadata"]["resourceVersion"] = str(self.revision)
        self._changed(_Change(_shelf(resource), self.revision, last, None))

    def _changed(self, change: _Change) -> None:
        if change.old is not None:
            self._texts.pop(id(change.old), None)
        self._changes.append(change)
        self._grow()

    def _grow(self) -> None:
        self._grown.set()
        self._grown = asyncio.Event()

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

    def _check_unwritten(self) -> None:
        for obj, text in self._texts.values():
            if _dumps(obj) != text:
                raise AssertionError(
                    f"somebody wrote to a shared object: {obj['kind']} {key_of(obj)} was {text.decode()}"
                )


_KEPT = ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generation")
"""Metadata that an update cannot change."""

_DEPENDENTS_FIRST = {"Foreground": "foregroundDeletion", "Orphan": "orphan"}


def _shelf(resource: Resource) -> Shelf:
    return resource.group, resource.plural


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


def _dumps(obj: Obj) -> bytes:
    return orjson.dumps(obj, option=orjson.OPT_SORT_KEYS)


def _event(request: Request, change: _Change) -> WatchEvent | None:
    """A change as one watch sees it: what leaves its selection is DELETED, what enters it ADDED."""
    was = change.old is not None and _matches(request, change.old)
    now = change.new is not None and _matches(request, change.new)
    if now and change.new is not None:
        return WatchEvent("MODIFIED" if was else "ADDED", change.new)
    if was and change.old is not None:
        return WatchEvent("DELETED", change.new or change.old)
    return None


def _matches(request: Request, obj: Obj) -> bool:
    if request.namespace and namespace_of(obj) != request.namespace:
        return False
    labels = request.params.get("labelSelector")
    fields = request.params.get("fieldSelector")
    if labels and not parse_label_selector(labels).matches(obj["metadata"].get("labels") or {}):
        return False
    return not fields or parse_field_selector(fields).matches(fields_of(request.resource, obj))


def _patched(request: Request, obj: Obj) -> Obj:
    body = request.body
    if request.content_type == JSON_PATCH and isinstance(body, list):
        return patch.json_patch(obj, body)
    if not isinstance(body, dict):
        raise errors.bad_request("an object is needed")
    if request.content_type == MERGE_PATCH:
        return patch.merge_patch(obj, body)
    if request.content_type == STRATEGIC_MERGE_PATCH:
        resource = request.resource
        return patch.strategic_merge_patch(obj, body, resource.api_version, resource.kind)
    raise errors.unsupported_media_type(f"patch type {request.content_type}")
