"""What a Pod's claims ask of the node it goes to, and what each node has for them. Pure.

Claims that are bound tie the Pod to where their volumes can be reached. Claims of a class that waits for its
first consumer are given a volume of that node, or provided for there; the others must be bound before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from sampan.api.objects import Obj, is_deleting, key_of, labels_of, name_of
from sampan.api.persistence import (
    NO_PROVISIONER,
    allows,
    best_match,
    claims_of,
    class_of,
    is_bound,
    made_for,
    modes,
    requested,
    waits_for_consumer,
)

UNBOUND = "pod has unbound immediate PersistentVolumeClaims"
NO_VOLUME = "node(s) didn't find available persistent volumes to bind"
OUT_OF_REACH = "node(s) didn't match PersistentVolume's node affinity"
NO_SUCH_VOLUME = "node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)"


@dataclass(frozen=True, slots=True)
class Wanted:
    """A claim to be bound with the Pod; `node` is where it was already decided to be, or ""."""

    claim: Obj
    storage_class: Obj
    offers: tuple[Obj, ...]
    node: str = ""


@dataclass(frozen=True, slots=True)
class VolumesAsked:
    bound: tuple[Obj, ...] = ()
    """Volumes."""
    lost: bool = False
    """Some claim is bound to a volume that is not there."""
    wanted: tuple[Wanted, ...] = ()
    alone: frozenset[str] = frozenset()
    """Keys of claims that only one Pod may use."""


NONE = VolumesAsked()


class NotBindable(Exception):
    """No node will do, for the reason given, before something about a claim changes."""


@dataclass(frozen=True, slots=True)
class Storage:
    """What is known; `offers` are volumes that a claim might get, `node_of` where it was decided to be."""

    claim: Callable[[str], Obj | None]
    volume: Callable[[str], Obj | None]
    storage_class: Callable[[str], Obj | None]
    offers: Callable[[Obj], Iterable[Obj]]
    node_of: Callable[[Obj], str]


def volumes_asked(pod: Obj, storage: Storage) -> VolumesAsked:
    """Raises NotBindable."""
    found = [_claim(pod, use.claim, use.is_ephemeral, storage) for use in claims_of(pod)]
    if not found:
        return NONE
    bound: list[Obj] = []
    wanted: list[Wanted] = []
    lost = False
    for claim in found:
        storage_class = storage.storage_class(class_of(claim))
        if is_bound(claim):
            volume = storage.volume(claim["spec"]["volumeName"])
            lost = lost or volume is None
            bound += [volume] if volume is not None else []
        elif (
            storage_class is None or not waits_for_consumer(storage_class) or claim["spec"].get("volumeName")
        ):
            raise NotBindable(UNBOUND)
        else:
            offers = tuple(storage.offers(claim))
            wanted.append(Wanted(claim, storage_class, offers, storage.node_of(claim)))
    # The smallest first, so that it does not take what only it leaves for the larger.
    wanted.sort(key=lambda each: requested(each.claim))
    alone = frozenset(key_of(claim) for claim in found if "ReadWriteOncePod" in modes(claim))
    return VolumesAsked(tuple(bound), lost, tuple(wanted), alone)


def _claim(pod: Obj, name: str, is_ephemeral: bool, storage: Storage) -> Obj:
    claim = storage.claim(f"{pod['metadata'].get('namespace', '')}/{name}")
    if claim is None:
        if is_ephemeral:
            raise NotBindable(
                f'waiting for ephemeral volume controller to create the persistentvolumeclaim "{name}"'
            )
        raise NotBindable(f'persistentvolumeclaim "{name}" not found')
    if (claim.get("status") or {}).get("phase") == "Lost":
        volume = claim["spec"].get("volumeName", "")
        raise NotBindable(f'persistentvolumeclaim "{name}" bound to non-existent persistentvolume "{volume}"')
    if is_deleting(claim):
        raise NotBindable(f'persistentvolumeclaim "{name}" is being deleted')
    if is_ephemeral and (why := made_for(claim, pod)):
        raise NotBindable(why)
    return claim


@dataclass(frozen=True, slots=True)
class Placement:
    """What binding a Pod's claims on `node` comes to: volumes that are there, and claims to provide for."""

    node: str
    found: tuple[tuple[Obj, Obj], ...] = ()
    """(volume, claim)"""
    provided: tuple[Obj, ...] = ()


def refusals(asked: VolumesAsked, node: Obj) -> tuple[str, ...]:
    """Why the node is none for the claims; () if it is one."""
    if asked.lost:
        return (NO_SUCH_VOLUME,)
    if not all(allows(volume, node) for volume in asked.bound):
        return (OUT_OF_REACH,)
    return () if placement(asked, node) is not None else (NO_VOLUME,)


def placement(asked: VolumesAsked, node: Obj) -> Placement | None:
    """What the node has for the claims that are not bound yet; None if it lacks something."""
    found: list[tuple[Obj, Obj]] = []
    provided: list[Obj] = []
    taken: set[str] = set()
    for each in asked.wanted:
        if each.node and each.node != name_of(node):
            return None
        left = [volume for volume in each.offers if name_of(volume) not in taken]
        volume = None if each.node else best_match(each.claim, left, node)
        if volume is not None:
            taken.add(name_of(volume))
            found.append((volume, each.claim))
        elif _provides(each.storage_class, node):
            provided.append(each.claim)
        else:
            return None
    return Placement(name_of(node), tuple(found), tuple(provided))


def _provides(storage_class: Obj, node: Obj) -> bool:
    """Whether the class has a provisioner, and lets it work for this node."""
    if storage_class["provisioner"] == NO_PROVISIONER:
        return False
    terms = storage_class.get("allowedTopologies") or ()
    labels = labels_of(node)
    return not terms or any(
        all(labels.get(each["key"]) in each["values"] for each in term.get("matchLabelExpressions") or ())
        for term in terms
    )
