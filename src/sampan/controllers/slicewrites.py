"""Writes what was planned for the EndpointSlices of a Service, and remembers it in the tracker."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sampan.api.errors import StatusError
from sampan.api.objects import Obj, key_of, mutable, name_of, namespace_of, uid_of
from sampan.api.resources import ENDPOINT_SLICES
from sampan.client.client import Client
from sampan.controllers.slicetracker import Tracker

NAME_MOST = 253


@dataclass(frozen=True, slots=True)
class Plan:
    """Whole objects; those to create have a generateName, those to update the revision they come from."""

    create: tuple[Obj, ...] = ()
    update: tuple[Obj, ...] = ()
    delete: tuple[Obj, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.create or self.update or self.delete)


def generate_name(service: str) -> str:
    """What the names of a Service's slices begin with."""
    return f"{service}-" if len(service) < NAME_MOST else service


def reused(step: Plan, owner_uid: str) -> Plan:
    """The plan with slices rewritten that it would delete, in place of those that it would create.

    One write instead of two, and no gap in which a reader sees neither. `addressType` is immutable, so only
    slices of the same one can be swapped; and only the owner's own, for the garbage collector may be about
    to take those of a predecessor.
    """
    update, delete = list(step.update), list(step.delete)
    create: list[Obj] = []
    for new in step.create:
        old = next((old for old in delete if _fits(new, old, owner_uid)), None)
        if old is None:
            create.append(new)
            continue
        delete.remove(old)
        metadata = {**mutable(old["metadata"]), "labels": new["metadata"]["labels"]}
        annotate(metadata, new["metadata"].get("annotations") or {})
        update.append({**old, "metadata": metadata, "endpoints": new["endpoints"], "ports": new["ports"]})
    return Plan(tuple(create), tuple(update), tuple(delete))


def annotate(metadata: Obj, annotations: dict[str, str]) -> None:
    """Replaces the annotations; none at all are not written as an empty object."""
    metadata.pop("annotations", None)
    if annotations:
        metadata["annotations"] = annotations


def is_namespace_going(error: Exception) -> bool:
    """Whether a create was refused because its namespace is being deleted."""
    details = (error.status.get("details") or {}) if isinstance(error, StatusError) else {}
    return any(cause.get("reason") == "NamespaceTerminating" for cause in details.get("causes") or ())


def is_owned(piece: Obj, uid: str) -> bool:
    return any(owner["uid"] == uid for owner in piece["metadata"].get("ownerReferences") or ())


class SliceWriter:
    def __init__(self, client: Client, tracker: Tracker) -> None:
        self._client, self._tracker = client, tracker

    async def carry_out(self, key: str, step: Plan) -> None:
        """Creates first: an endpoint that moves between slices is in both for a moment, never in none.

        In a namespace on its way out nothing can be created any more, and nothing needs to be.
        """
        try:
            for piece in step.create:
                self._tracker.wrote(key, await self._client.create(ENDPOINT_SLICES, piece))
            for piece in step.update:
                self._tracker.wrote(key, await self._client.update(ENDPOINT_SLICES, piece))
            await self._delete(key, step.delete)
        except (StatusError, OSError) as error:
            self._tracker.distrust(key)
            if not is_namespace_going(error):
                raise

    async def _delete(self, key: str, pieces: Sequence[Obj]) -> None:
        for piece in pieces:
            try:
                await self._client.delete(
                    ENDPOINT_SLICES, name_of(piece), namespace=namespace_of(piece), uid=uid_of(piece)
                )
            except StatusError as error:
                if error.code != 404:
                    raise
            self._tracker.deleted(key, key_of(piece))


def _fits(new: Obj, old: Obj, owner_uid: str) -> bool:
    return bool(new["addressType"] == old["addressType"]) and is_owned(old, owner_uid)
