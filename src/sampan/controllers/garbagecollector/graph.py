"""Who owns whom, by uid; only objects that have an owner or wait for their dependents are in it. Pure.

Finalizers (garbage collection docs): an object deleted with `Foreground` carries `foregroundDeletion`
until no dependent blocks it, one deleted with `Orphan` carries `orphan` until its dependents are cut
loose.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from sampan.api.objects import Obj, is_deleting, name_of, namespace_of, uid_of
from sampan.api.resources import Resource

FOREGROUND = "foregroundDeletion"
ORPHAN = "orphan"


@dataclass(frozen=True, slots=True)
class Owner:
    uid: str
    api_version: str
    kind: str
    name: str
    blocks: bool
    """`blockOwnerDeletion`: a foreground deletion of the owner waits for this dependent."""


class Phase(Enum):
    """Where an object is in its life, as far as its dependents care."""

    LIVES = "lives"
    GOES = "goes"
    ORPHANS = "orphans"
    WAITS = "waits"
    """For its dependents, in a foreground deletion."""


@dataclass(frozen=True, slots=True)
class Item:
    uid: str
    resource: Resource
    namespace: str
    name: str
    owners: tuple[Owner, ...]
    phase: Phase


def owners_of(obj: Obj) -> tuple[Owner, ...]:
    return tuple(
        Owner(ref["uid"], ref["apiVersion"], ref["kind"], ref["name"], bool(ref.get("blockOwnerDeletion")))
        for ref in obj["metadata"].get("ownerReferences") or ()
    )


def phase_of(obj: Obj) -> Phase:
    if not is_deleting(obj):
        return Phase.LIVES
    finalizers = obj["metadata"].get("finalizers") or ()
    if ORPHAN in finalizers:
        return Phase.ORPHANS
    return Phase.WAITS if FOREGROUND in finalizers else Phase.GOES


def item_of(resource: Resource, obj: Obj) -> Item:
    return Item(uid_of(obj), resource, namespace_of(obj), name_of(obj), owners_of(obj), phase_of(obj))


class Graph:
    def __init__(self) -> None:
        self._items: dict[str, Item] = {}
        self._dependents: dict[str, set[str]] = {}
        """Owner uid -> uids in `_items` that name it; no empty sets stay."""

    def __len__(self) -> int:
        return len(self._items)

    def get(self, uid: str) -> Item | None:
        return self._items.get(uid)

    def dependents(self, uid: str) -> list[Item]:
        return [self._items[each] for each in self._dependents.get(uid, ())]

    def blocking(self, uid: str) -> list[Item]:
        """The dependents that a foreground deletion of the owner waits for."""
        return [
            item
            for item in self.dependents(uid)
            if any(owner.uid == uid and owner.blocks for owner in item.owners)
        ]

    def put(self, item: Item) -> bool:
        """Takes the present state of an object; whether anything changed here."""
        old = self._items.get(item.uid)
        if old == item:
            return False
        if old is not None:
            self._unlink(old)
        if not item.owners and item.phase not in (Phase.WAITS, Phase.ORPHANS):
            self._items.pop(item.uid, None)
            return old is not None
        self._items[item.uid] = item
        for owner in item.owners:
            self._dependents.setdefault(owner.uid, set()).add(item.uid)
        return True

    def remove(self, uid: str) -> Item | None:
        item = self._items.pop(uid, None)
        if item is not None:
            self._unlink(item)
        return item

    def _unlink(self, item: Item) -> None:
        for owner in item.owners:
            found = self._dependents.get(owner.uid)
            if found is not None:
                found.discard(item.uid)
                if not found:
                    del self._dependents[owner.uid]


class Verdict(Enum):
    KEEP = "keep"
    CUT = "cut"
    """Some owner is left: take off the references to those that are not."""
    DELETE = "delete"
    DELETE_FOREGROUND = "delete foreground"
    """Its last owner waits for it, and it has dependents of its own: they go first."""


def judge(owners: Iterable[tuple[Owner, Phase | None]], has_dependents: bool) -> tuple[Verdict, set[str]]:
    """What is to become of an object, and the uids of its owners that do not hold it.

    Each owner comes with its phase, None if it does not exist.
    """
    listed = list(owners)
    absent = {owner.uid for owner, phase in listed if phase is None}
    waiting = {owner.uid for owner, phase in listed if phase is Phase.WAITS}
    loose = absent | waiting
    if not loose:
        return Verdict.KEEP, loose
    if len(loose) < len({owner.uid for owner, _ in listed}):
        return Verdict.CUT, loose
    if waiting and has_dependents:
        return Verdict.DELETE_FOREGROUND, loose
    return Verdict.DELETE, loose
