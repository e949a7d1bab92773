"""Answers as bytes: the stored bytes where nothing has to change, else a view of the object."""

from __future__ import annotations

import time
from collections.abc import Sequence

import orjson

from sampan.api import tables
from sampan.api.objects import Obj
from sampan.api.resources import Resource
from sampan.apiserver import scale
from sampan.apiserver.conversion import from_storage, storage_resource
from sampan.apiserver.entry import Entry, event_line, list_bytes
from sampan.apiserver.lister import Page
from sampan.apiserver.negotiation import PLAIN, YAML, Form

_META = "meta.k8s.io/v1"


def list_kind(resource: Resource) -> str:
    return resource.list_kind or f"{resource.kind}List"


def value_of(resource: Resource, entry: Entry) -> bytes:
    """The object's JSON in the resource's own version."""
    if storage_resource(resource) is resource:
        return entry.value
    return orjson.dumps(from_storage(resource, entry.obj))


def object_of(resource: Resource, entry: Entry) -> Obj:
    """The same as a shared dict."""
    return from_storage(resource, entry.obj)


def single(resource: Resource, entry: Entry, form: Form, include: str) -> bytes:
    if form == PLAIN:
        return value_of(resource, entry)
    if not form.view:
        return encode(object_of(resource, entry), form)
    obj = object_of(resource, entry)
    if form.view == "Table":
        meta = {"resourceVersion": obj["metadata"].get("resourceVersion", "")}
        return encode(_table(resource, [obj], meta, form, include), form)
    return encode(_partial(obj), form)


def page(resource: Resource, found: Page, form: Form, include: str) -> bytes:
    if form == PLAIN:
        values = (value_of(resource, entry) for entry in found.entries)
        return list_bytes(resource.api_version, list_kind(resource), found.metadata, values)
    objects = [object_of(resource, entry) for entry in found.entries]
    if form.view == "Table":
        return encode(_table(resource, objects, found.metadata, form, include), form)
    if form.view:
        items = [_partial(obj) for obj in objects]
        answer = {"kind": "PartialObjectMetadataList", "apiVersion": _META}
        return encode({**answer, "metadata": found.metadata, "items": items}, form)
    return encode(page_object(resource, found), form)


def computed(resource: Resource, obj: Obj, form: Form, include: str) -> bytes:
    """What is stored nowhere: a Scale has a table and a bare form as its object has; the rest has its own."""
    if obj.get("kind") == scale.KIND and form.view == "Table":
        meta = {"resourceVersion": obj["metadata"].get("resourceVersion", "")}
        return encode(_table(resource, [obj], meta, form, include, "scale"), form)
    return encode(_partial(obj) if obj.get("kind") == scale.KIND and form.view else obj, form)


def page_object(resource: Resource, found: Page) -> Obj:
    """A list as a dict whose items are shared."""
    return {
        "kind": list_kind(resource),
        "apiVersion": resource.api_version,
        "metadata": found.metadata,
        "items": [object_of(resource, entry) for entry in found.entries],
    }


def encode(obj: Obj, form: Form) -> bytes:
    if form.media == YAML:
        import yaml

        return yaml.safe_dump(obj, sort_keys=False, allow_unicode=True).encode()
    return orjson.dumps(obj)


class EventEncoder:
    """One watcher's events in another form than the stored bytes; a Table says its columns once."""

    def __init__(self, resource: Resource, form: Form, include: str) -> None:
        self._resource = resource
        self._form = form
        self._include = include
        self._columns_said = False

    def __call__(self, kind: str, entry: Entry) -> bytes:
        if not self._form.view:
            if kind == "BOOKMARK":
                return event_line(kind, entry.value)
            return event_line(kind, value_of(self._resource, entry))
        if self._form.view == "Table":
            return event_line(kind, orjson.dumps(self._table(kind, entry)))
        obj = entry.obj if kind == "BOOKMARK" else object_of(self._resource, entry)
        return event_line(kind, orjson.dumps(_partial(obj)))

    def _table(self, kind: str, entry: Entry) -> Obj:
        bookmark = kind == "BOOKMARK"
        obj = entry.obj if bookmark else object_of(self._resource, entry)
        meta = {"resourceVersion": obj["metadata"].get("resourceVersion", "")}
        table = _table(self._resource, [] if bookmark else [obj], meta, self._form, self._include)
        if bookmark:
            # client-go reads the bookmark's metadata from a row's object
            table["rows"] = [{"cells": [], "object": _partial(obj)}]
        if self._columns_said:
            table["columnDefinitions"] = []
        self._columns_said = True
        return table


def encoder(resource: Resource, form: Form, include: str) -> EventEncoder | None:
    """None when the stored bytes are what the watcher wants."""
    if form == PLAIN and storage_resource(resource) is resource:
        return None
    return EventEncoder(resource, form, include)


def _table(
    resource: Resource, objects: Sequence[Obj], meta: Obj, form: Form, include: str, subresource: str = ""
) -> Obj:
    table = tables.table(resource, list(objects), meta, include or "Metadata", time.time(), subresource)
    table["apiVersion"] = f"meta.k8s.io/{form.version}"
    return table


def _partial(obj: Obj) -> Obj:
    return {"kind": "PartialObjectMetadata", "apiVersion": _META, "metadata": obj["metadata"]}
