"""One path for every write to every kind: identity, defaults, admission, validation, commit.

Order on create: namespace check, defaults, the kind's own preparation, mutating admission, defaults again,
validation, reservation of what is unique, commit. On update the old object lends what may not change, and an
update that changes nothing writes nothing.

Conflicts: every write names the revision it was made from. A client that named one gets 409; one that did
not (a patch, an update without resourceVersion) is silently tried again on the newer object.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any

import orjson

from sampan.api import decode, defaults, errors, patch, validation
from sampan.api.defaults import status
from sampan.api.errors import FieldError, StatusError
from sampan.api.objects import Obj, mutable
from sampan.api.request import STRATEGIC_MERGE_PATCH, Request
from sampan.api.resources import NAMESPACES, Resource
from sampan.apiserver import deletion, metadata, scale
from sampan.apiserver.admission.chain import Admission
from sampan.apiserver.conversion import from_storage, storage_prefix, storage_resource, to_storage
from sampan.apiserver.entry import Entry, stamp
from sampan.apiserver.filters import parse
from sampan.apiserver.registry.hooks import Call, Hooks, Undo
from sampan.apiserver.registry.namespaces import NamespaceGate
from sampan.apiserver.storage import Storage, key_for, scope_prefix
from sampan.apiserver.watchcache import Cache, Hub
from sampan.store.contract import ABSENT, Delete, Put, Store, TxnConflict

ATTEMPTS = 20
NAME_ATTEMPTS = 8
_PLAIN = Hooks()
_DELETIONS_AT_ONCE = 64


class Pipeline:
    """`hooks` by (group, plural) of the storage resource."""

    def __init__(
        self,
        store: Store,
        hub: Hub,
        hooks: Mapping[tuple[str, str], Hooks],
        admission: Admission,
    ) -> None:
        self.hub = hub
        self._storage = Storage(store, hub)
        self._hooks = hooks
        self._admission = admission
        self._gate = NamespaceGate(hub)

    def hooks(self, resource: Resource) -> Hooks:
        stored = storage_resource(resource)
        return self._hooks.get((stored.group, stored.plural), _PLAIN)

    def cache(self, resource: Resource) -> Cache:
        return self._storage.cache(resource)

    def find(self, resource: Resource, namespace: str, name: str) -> Entry | None:
        return self._storage.find(resource, namespace, name)

    def get(self, call: Call) -> Entry:
        request = call.request
        entry = self.find(request.resource, request.namespace, request.name)
        if entry is None:
            raise errors.not_found(request.resource, request.name)
        return entry

    # --- create ---------------------------------------------------------------------------------------

    async def create(self, call: Call, obj: Obj) -> Entry:
        """POST. `obj` is the pipeline's from here on; a generated name that is taken is drawn anew."""
        resource, namespace = call.resource, call.request.namespace
        fields = obj.setdefault("metadata", {})
        obj["kind"], obj["apiVersion"] = resource.kind, resource.api_version
        metadata.check_scope(resource, namespace, fields)
        self._gate.check(call, fields.get("name") or fields.get("generateName", ""))
        generated = not fields.get("name") and fields.get("generateName")
        metadata.prepare_create(resource, obj)
        hooks = self.hooks(resource)
        if resource.subresource("status") and not hooks.keeps_status_on_create:
            obj.pop("status", None)
        defaults.apply(resource, obj)
        hooks.prepare_create(call, obj)
        await self._admission.mutate(call, obj, None)
        defaults.apply(resource, obj)
        status.complete(resource, obj)
        obj = metadata.in_order(obj)
        for attempt in range(NAME_ATTEMPTS):
            try:
                return await self._insert(call, obj, hooks)
            except StatusError as error:
                last = attempt == NAME_ATTEMPTS - 1
                if not generated or error.reason != "AlreadyExists" or last:
                    raise
                obj["metadata"].pop("name")
                metadata.prepare_create(resource, obj)
        raise AssertionError("unreachable")

    async def _insert(self, call: Call, obj: Obj, hooks: Hooks) -> Entry:
        resource = call.resource
        name = obj["metadata"].get("name", "")
        broken = validation.create(resource, obj)
        if broken:
            raise errors.invalid(resource, name, broken)
        await self._admission.validate(call, obj, None)
        key = key_for(resource, call.request.namespace, name)
        present = self.cache(resource).get(key)
        if present is not None:
            raise _exists(resource, name, present)
        self._gate.check(call, name)
        for _ in range(ATTEMPTS):
            undo = self._reserve(call, hooks, obj, None)
            if call.dry_run:
                shown = Entry(key, orjson.dumps(to_storage(resource, obj)), 0)
                undo()
                return shown
            put = Put(key, stamp(to_storage(resource, obj)), ABSENT)
            try:
                return await self._storage.put(resource, put, hooks.companions(call, obj, None))
            except TxnConflict as conflict:
                undo()
                if conflict.key == key:
                    there = conflict.current
                    raise _exists(resource, name, there and Entry(*there[:3])) from None
                # Somebody was faster with what is written beside it: once that is seen, choose again.
                await self._storage.catch_up(conflict)
            except StatusError:
                undo()
                raise
        raise errors.conflict(resource, name)

    # --- update and patch -----------------------------------------------------------------------------

    async def update(self, call: Call, obj: Obj, subresource: str = "") -> tuple[Entry, bool]:
        """PUT of the object, its status, or another subresource that is the object; says whether created."""
        resource, name = call.resource, call.request.name
        fields = obj.setdefault("metadata", {})
        metadata.check_scope(resource, call.request.namespace, fields)
        said = fields.get("name")
        if said and said != name:
            raise errors.bad_request(
                f"the name of the object ({said}) does not match the name on the URL ({name})"
            )
        if not said:
            raise errors.bad_request("name must be provided")
        hooks = self.hooks(resource)
        revision = fields.get("resourceVersion")
        if not revision and not hooks.unconditional_update:
            broken = errors.invalid_value("metadata.resourceVersion", 0, "must be specified for an update")
            raise errors.invalid(resource, name, [broken])
        if hooks.creates_on_update and not subresource and not revision and self._absent(call):
            return await self.create(call, obj), True
        changed = await self.modify(
            call, lambda old: obj if revision else mutable(obj), subresource, retry=not revision
        )
        return changed, False

    async def patch(self, call: Call, body: Any, content_type: str, subresource: str = "") -> Entry:
        """PATCH, of the kind that the content type names; made again on the newer object after a conflict."""
        resource = call.resource
        validated = call.request.params.get("fieldValidation", "") or decode.WARN

        def change(old: Obj) -> Obj:
            kind = (resource.api_version, resource.kind)
            if subresource == "scale":
                shown = patch.apply(scale.view(old), body, content_type, scale.API_VERSION, scale.KIND)
                scale.set_replicas(resource, old, shown)
                old["metadata"]["resourceVersion"] = shown["metadata"].get("resourceVersion")
                return old
            new = patch.apply(old, body, content_type, *kind)
            if not isinstance(new.get("metadata"), dict):
                raise errors.bad_request("a patch must leave metadata an object")
            said = (new.get("apiVersion"), new.get("kind"))
            if said != kind or new["metadata"].get("name") != call.request.name:
                raise errors.bad_request("a patch may not change apiVersion, kind or metadata.name")
            merged = body if content_type == STRATEGIC_MERGE_PATCH else None
            found = decode.prune(new, *kind, validated, of_patch=True, merged=merged)
            call.warnings[:] = list(dict.fromkeys([*call.warnings, *found]))
            return new

        return await self.modify(call, change, subresource)

    async def modify(
        self,
        call: Call,
        change: Callable[[Obj], Obj],
        subresource: str = "",
        *,
        retry: bool = True,
    ) -> Entry:
        """Replaces the object by what `change` makes of a copy of it; again when somebody was faster."""
        for _ in range(ATTEMPTS if retry else 1):
            entry = self.get(call)
            try:
                return await self._replace(call, entry, change, subresource)
            except TxnConflict as conflict:
                await self._storage.catch_up(conflict)
        raise errors.conflict(call.resource, call.request.name)

    async def _replace(
        self, call: Call, entry: Entry, change: Callable[[Obj], Obj], subresource: str
    ) -> Entry:
        resource, name = call.resource, call.request.name
        hooks = self.hooks(resource)
        old = from_storage(resource, entry.copy())
        new = change(from_storage(resource, entry.copy()))
        fresh, kept = new["metadata"], old["metadata"]
        if (revision := fresh.get("resourceVersion")) and revision != kept["resourceVersion"]:
            raise errors.conflict(resource, name)
        metadata.check_uid(resource, name, fresh.get("uid"), kept)
        metadata.carry_over(new, old)
        new["kind"], new["apiVersion"] = resource.kind, resource.api_version
        if subresource == "status":
            new = {**old, "metadata": new["metadata"], "status": new.get("status") or {}}
            status.complete(resource, new)
            hooks.prepare_status(call, new, old)
        elif subresource in ("", "scale"):
            if resource.subresource("status"):
                new.pop("status", None)
                if "status" in old:
                    new["status"] = old["status"]
            defaults.apply(resource, new)
            hooks.prepare_update(call, new, old)
        elif subresource in hooks.parts:
            defaults.apply(resource, new)
            new = hooks.prepare_part(call, subresource, new, old)
        await self._admission.mutate(call, new, old)
        if subresource not in ("status", "binding"):
            # Where a Pod runs is no wish of its author's, nor is what goes with a status.
            metadata.count_change(resource, new, old)
        if broken := _broken(resource, subresource, new, old):
            raise errors.invalid(resource, name, broken)
        await self._admission.validate(call, new, old)
        stored = to_storage(resource, new)
        if metadata.same(stored, entry.obj):
            return entry
        if deletion.finished(new, held=hooks.held(new)):
            return await self._remove(call, entry, stored)
        undo = self._reserve(call, hooks, new, old)
        if call.dry_run:
            stored["metadata"]["resourceVersion"] = str(entry.revision)
            shown = Entry(entry.key, orjson.dumps(stored), entry.revision)
            undo()
            return shown
        try:
            put = Put(entry.key, stamp(stored), entry.revision)
            return await self._storage.put(resource, put, hooks.companions(call, new, old))
        except (TxnConflict, StatusError):
            undo()
            raise

    # --- delete ---------------------------------------------------------------------------------------

    async def delete(self, call: Call, options: deletion.Options) -> tuple[Entry, bool]:
        """Deletes or marks one object; says whether it is gone."""
        for _ in range(ATTEMPTS):
            entry = self.get(call)
            try:
                return await self._delete(call, entry, options)
            except TxnConflict as conflict:
                await self._storage.catch_up(conflict)
        raise errors.conflict(call.resource, call.request.name)

    async def delete_collection(self, call: Call, options: deletion.Options) -> list[Entry]:
        """Deletes everything a filter matches; what is gone meanwhile does not count."""
        request = call.request
        wanted = parse(request.resource, scope_prefix(request.resource, request.namespace), request.params)
        entries = [
            entry for entry in self.cache(request.resource).scan(wanted.prefix) if wanted.matches(entry)
        ]
        deleted: list[Entry] = []
        for start in range(0, len(entries), _DELETIONS_AT_ONCE):
            slice_ = entries[start : start + _DELETIONS_AT_ONCE]
            answers = await asyncio.gather(*(self._delete_one(call, entry, options) for entry in slice_))
            deleted += [entry for entry in answers if entry is not None]
        return deleted

    async def _delete_one(self, call: Call, entry: Entry, options: deletion.Options) -> Entry | None:
        namespace, _, name = entry.key.removeprefix(storage_prefix(call.resource)).rpartition("/")
        one = Call(
            call.user,
            Request("delete", call.resource, namespace, name, "", call.request.params),
            call.hub,
            call.dry_run,
            call.warnings,
        )
        try:
            return (await self.delete(one, options))[0]
        except StatusError as error:
            if error.reason == "NotFound":
                return None
            raise

    async def _delete(self, call: Call, entry: Entry, options: deletion.Options) -> tuple[Entry, bool]:
        resource, name = call.resource, call.request.name
        hooks = self.hooks(resource)
        fields = entry.obj["metadata"]
        metadata.check_uid(resource, name, options.uid, fields)
        if options.revision and options.revision != str(entry.revision):
            why = (
                f"Precondition failed: ResourceVersion in precondition: {options.revision}, "
                f"ResourceVersion in object meta: {entry.revision}"
            )
            raise errors.conflict(resource, name, why)
        hooks.check_delete(call, entry.obj)
        grace_s = hooks.grace_s(entry.obj, options)
        held = hooks.held(entry.obj)
        outcome = deletion.plan(entry.obj, options, grace_s, held=held, now=time.time())
        if outcome.action == deletion.NOTHING:
            return entry, False
        if outcome.action == deletion.REMOVE:
            return await self._remove(call, entry, outcome.obj), True
        hooks.marked(outcome.obj)
        if call.dry_run:
            return Entry(entry.key, orjson.dumps(outcome.obj), entry.revision), False
        closing = resource is NAMESPACES
        if closing:
            self._gate.close(name)
        try:
            marked = await self._storage.put(resource, Put(entry.key, stamp(outcome.obj), entry.revision))
        except (TxnConflict, StatusError):
            if closing:
                self._gate.reopen(name)
            raise
        return marked, False

    async def _remove(self, call: Call, entry: Entry, last: Obj) -> Entry:
        if call.dry_run:
            return entry
        last = {**last, "metadata": dict(last["metadata"])}
        last["metadata"].pop("resourceVersion", None)
        stamped = stamp(last)
        companions = self.hooks(call.resource).companions(call, None, entry.obj)
        revision = await self._storage.commit(*companions, Delete(entry.key, stamped, entry.revision))
        return Entry(entry.key, stamped.at(revision), revision)

    def _reserve(self, call: Call, hooks: Hooks, new: Obj, old: Obj | None) -> Undo:
        release = hooks.reserve(call, new, old)
        try:
            retract = self._admission.reserve(call, new, old)
        except BaseException:
            release()
            raise

        def undo() -> None:
            retract()
            release()

        return undo

    def _absent(self, call: Call) -> bool:
        return self.find(call.resource, call.request.namespace, call.request.name) is None


def _broken(resource: Resource, subresource: str, new: Obj, old: Obj) -> list[FieldError]:
    if subresource in ("", "scale"):
        return validation.update(resource, new, old)
    if subresource == "status":
        return validation.update_status(resource, new, old)
    return validation.update_part(resource, subresource, new, old)


def _exists(resource: Resource, name: str, present: Entry | None) -> StatusError:
    error = errors.already_exists(resource, name)
    if present is not None and present.obj["metadata"].get("deletionTimestamp"):
        error.status["message"] = f"object is being deleted: {error.status['message']}"
    return error
