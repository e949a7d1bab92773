"""Which objects a list or watch wants, and what a change looks like to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import orjson

from sampan.api import errors, fields, selectors
from sampan.api.objects import labels_of
from sampan.api.resources import Resource
from sampan.apiserver.conversion import from_storage
from sampan.apiserver.entry import Entry
from sampan.apiserver.watchcache import Change


@dataclass(frozen=True, slots=True)
class Filter:
    """`key` is set when only one object can match; `labels`/`fields` are None when they select everything."""

    resource: Resource
    prefix: str
    key: str = ""
    labels: selectors.Selector | None = None
    fields: selectors.FieldSelector | None = None

    @property
    def everything(self) -> bool:
        """Whether all below the prefix matches."""
        return not self.key and self.labels is None and self.fields is None

    def matches(self, entry: Entry) -> bool:
        if self.key and entry.key != self.key:
            return False
        if self.labels is not None and not self.labels.matches(labels_of(entry.obj)):
            return False
        if self.fields is None:
            return True
        obj = from_storage(self.resource, entry.obj)
        return self.fields.matches(fields.fields_of(self.resource, obj))

    def view(self, change: Change) -> tuple[str, Entry] | None:
        """The event type and object to show for a change, or None if it concerns others.

        An object that leaves the selection is DELETED in its former state, at the change's revision.
        """
        if not change.entry.key.startswith(self.prefix):
            return None
        if self.everything:
            return change.type, change.entry
        if self.key and change.entry.key != self.key:
            return None
        before = change.previous is not None and self.matches(change.previous)
        after = change.type != "DELETED" and self.matches(change.entry)
        if after:
            return ("MODIFIED" if before else "ADDED"), change.entry
        if not before:
            return None
        if change.type == "DELETED":
            return "DELETED", change.entry
        return "DELETED", _as_of(change.previous, change.revision)


def parse(resource: Resource, prefix: str, params: Mapping[str, str]) -> Filter:
    """The filter of a request's `labelSelector` and `fieldSelector`; 400 for what cannot be understood."""
    try:
        label_selector = selectors.parse_label_selector(params.get("labelSelector", ""))
        field_selector = selectors.parse_field_selector(params.get("fieldSelector", ""))
    except selectors.SelectorError as error:
        raise errors.bad_request(str(error)) from None
    labels = None if label_selector.is_everything else label_selector
    if field_selector.is_everything:
        return Filter(resource, prefix, "", labels, None)
    supported = fields.supported(resource)
    for path, _, _ in field_selector.requirements:
        if path not in supported:
            raise errors.bad_request(fields.unsupported(resource, path))
    name = field_selector.exact("metadata.name")
    in_one_place = not resource.namespaced or prefix.count("/") == 5
    if name is not None and in_one_place and len(field_selector.requirements) == 1:
        return Filter(resource, prefix, prefix + name, labels, None)
    return Filter(resource, prefix, "", labels, field_selector)


def _as_of(previous: Entry | None, revision: int) -> Entry:
    assert previous is not None
    obj = previous.copy()
    obj["metadata"]["resourceVersion"] = str(revision)
    return Entry(previous.key, orjson.dumps(obj), revision)
