"""What the fake API server holds: objects by resource, each at its revision, and what changed for watches.

An object handed in belongs to the shelves from then on, and everybody shares it. `check_unwritten` finds out
who wrote to one all the same.
"""

from __future__ import annotations

import asyncio
from typing import NamedTuple, TypeAlias

import orjson

from sampan.api import errors
from sampan.api.fields import fields_of
from sampan.api.objects import Obj, key_of, mutable, namespace_of
from sampan.api.request import Request, WatchEvent
from sampan.api.resources import Resource
from sampan.api.selectors import parse_field_selector, parse_label_selector

Shelf: TypeAlias = tuple[str, str]
"""Group and plural: all versions of a resource are the same objects."""


class Change(NamedTuple):
    shelf: Shelf
    revision: int
    old: Obj | None
    new: Obj | None
    """None: `old` was deleted; it carries the revision of the deletion."""


class Shelves:
    """`grown` is set, and another takes its place, with every change."""

    def __init__(self) -> None:
        self.revision = 0
        self.grown = asyncio.Event()
        self._shelves: dict[Shelf, dict[str, Obj]] = {}
        self._texts: dict[int, tuple[Obj, bytes]] = {}
        """What each object was when it was stored, by id."""
        self._changes: list[Change] = []
        self._oldest = 0

    def of(self, resource: Resource) -> dict[str, Obj]:
        """The resource's objects by key; to be read."""
        return self._shelves.setdefault(_shelf(resource), {})

    def put(self, resource: Resource, old: Obj | None, new: Obj) -> Obj:
        """Puts `new` in with the next revision; the caller gives it away."""
        self.revision += 1
        new["metadata"]["resourceVersion"] = str(self.revision)
        self.of(resource)[key_of(new)] = new
        self._texts[id(new)] = (new, canonical(new))
        self._changed(Change(_shelf(resource), self.revision, old, new))
        return new

    def drop(self, resource: Resource, old: Obj) -> None:
        self.revision += 1
        del self.of(resource)[key_of(old)]
        last = mutable(old)
        last["metadata"]["resourceVersion"] = str(self.revision)
        self._changed(Change(_shelf(resource), self.revision, last, None))

    def since(self, revision: int) -> list[Change]:
        """All newer changes; 410 when the oldest of them are forgotten."""
        if revision < self._oldest:
            raise errors.expired(f"too old resource version: {revision} ({self._oldest})")
        return [change for change in self._changes if change.revision > revision]

    def compact(self) -> None:
        """Forgets all changes."""
        self._changes.clear()
        self._oldest = self.revision

    def wake(self) -> None:
        """Has whoever waits look again."""
        self.grown.set()
        self.grown = asyncio.Event()

    def check_unwritten(self) -> None:
        """AssertionError when a shared object is no longer what was stored."""
        for obj, text in self._texts.values():
            if canonical(obj) != text:
                raise AssertionError(
                    f"somebody wrote to a shared object: {obj['kind']} {key_of(obj)} was {text.decode()}"
                )

    def _changed(self, change: Change) -> None:
        if change.old is not None:
            self._texts.pop(id(change.old), None)
        self._changes.append(change)
        self.wake()


def _shelf(resource: Resource) -> Shelf:
    return resource.group, resource.plural


def canonical(obj: Obj) -> bytes:
    """The same bytes for equal objects."""
    return orjson.dumps(obj, option=orjson.OPT_SORT_KEYS)


def seen_by(request: Request, change: Change) -> WatchEvent | None:
    """A change as one watch sees it: what leaves its selection is DELETED, what enters it ADDED."""
    if change.shelf != _shelf(request.resource):
        return None
    was = change.old is not None and selects(request, change.old)
    now = change.new is not None and selects(request, change.new)
    if now and change.new is not None:
        return WatchEvent("MODIFIED" if was else "ADDED", change.new)
    if was and change.old is not None:
        return WatchEvent("DELETED", change.new or change.old)
    return None


def selects(request: Request, obj: Obj) -> bool:
    """Whether the object is in the request's namespace and matches its selectors."""
    if request.namespace and namespace_of(obj) != request.namespace:
        return False
    labels = request.params.get("labelSelector")
    fields = request.params.get("fieldSelector")
    if labels and not parse_label_selector(labels).matches(obj["metadata"].get("labels") or {}):
        return False
    return not fields or parse_field_selector(fields).matches(fields_of(request.resource, obj))
