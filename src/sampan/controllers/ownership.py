"""Which objects a controller may call its own: adoption of matching orphans, release of those that stray.

Pure. The rules are upstream's (apps API docs, "controller reference manager"): an owner keeps what it
controls and still selects, takes what nobody controls and it selects, lets go what it no longer selects,
and never touches what another controls. An owner on its way out takes and releases nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from sampan.api.objects import (
    Obj,
    controller_of,
    is_deleting,
    labels_of,
    namespace_of,
    owner_reference,
    uid_of,
)


class Matcher(Protocol):
    def matches(self, labels: dict[str, str], /) -> bool: ...


@dataclass(frozen=True, slots=True)
class Claim:
    """`owned` are kept as they are; `adopt` and `release` need a write first."""

    owned: tuple[Obj, ...] = ()
    adopt: tuple[Obj, ...] = ()
    release: tuple[Obj, ...] = ()


def claim(owner: Obj, selector: Matcher, children: Iterable[Obj]) -> Claim:
    """Sorts `children` (all of the owner's namespace) by what is to become of them."""
    uid = uid_of(owner)
    leaving = is_deleting(owner)
    owned: list[Obj] = []
    adopt: list[Obj] = []
    release: list[Obj] = []
    for child in children:
        controller = controller_of(child)
        if controller is None:
            if not leaving and not is_deleting(child) and selector.matches(labels_of(child)):
                adopt.append(child)
        elif controller["uid"] == uid:
            if selector.matches(labels_of(child)):
                owned.append(child)
            elif not leaving:
                release.append(child)
    return Claim(tuple(owned), tuple(adopt), tuple(release))


def adoption_patch(owner: Obj, child: Obj) -> Obj:
    """A JSON merge patch that makes `owner` the controller of `child`, if `child` has not changed since."""
    references = [*(child["metadata"].get("ownerReferences") or ()), owner_reference(owner)]
    return _references_patch(child, references)


def release_patch(owner_uid: str, child: Obj) -> Obj:
    """A JSON merge patch that takes the owner's reference off `child`, if `child` has not changed since."""
    references = [ref for ref in child["metadata"].get("ownerReferences") or () if ref["uid"] != owner_uid]
    return _references_patch(child, references)


def _references_patch(child: Obj, references: list[Obj]) -> Obj:
    metadata = child["metadata"]
    return {
        "metadata": {
            "uid": metadata["uid"],
            "resourceVersion": metadata["resourceVersion"],
            "ownerReferences": references or None,
        }
    }


def by_controller(obj: Obj) -> Iterable[str]:
    """Index function: the controller's uid, or `orphans_in(namespace)` for what nobody controls."""
    controller = controller_of(obj)
    return (controller["uid"],) if controller else (orphans_in(namespace_of(obj)),)


def orphans_in(namespace: str) -> str:
    return f"orphans/{namespace}"
