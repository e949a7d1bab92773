"""Which endpoints lie in which slice, so that a plan has to look only at slices that can have to change.

Even to see that nine slices of a hundred endpoints are as they should be takes longer than all the rest when
the tenth is to change: each endpoint is a handful of small objects somewhere in memory. Pure state.
"""

from __future__ import annotations

from collections.abc import Iterable, Set
from dataclasses import dataclass

from sampan.api.objects import Obj, is_deleting, key_of, revision_of
from sampan.controllers.endpointslice.endpoints import identity
from sampan.controllers.slicewrites import Plan


@dataclass(frozen=True, slots=True)
class Narrowing:
    """`untouched`: keys of slices that are as they should be. `suspects`: all endpoints of all other slices,
    and those that may be in none, by identity.
    """

    untouched: frozenset[str]
    suspects: frozenset[str]


class Layout:
    """What was in each slice when it was last looked at, and at which revision.

    Good as long as every plan was carried out; after a failure one begins with a new one.
    """

    def __init__(self) -> None:
        self._held: dict[str, tuple[int, frozenset[str]]] | None = None
        self._moved: frozenset[str] = frozenset()
        """Endpoints in slices that were written since the last look: nobody has seen them there yet."""

    def look(self, existing: Iterable[Obj], changed: Set[str]) -> Narrowing | None:
        """Where to look when the endpoints `changed` are not what they were; None: everywhere."""
        pieces = {key_of(piece): piece for piece in existing if not is_deleting(piece)}
        first, held = self._held is None, self._held or {}
        suspects = {*changed, *self._moved}
        for key in [*held]:
            revision, ids = held[key]
            if key not in pieces or revision_of(pieces[key]) != revision:
                suspects |= ids
                del held[key]
        written = pieces.keys() - held.keys()
        for key in written:
            ids = frozenset(identity(endpoint) for endpoint in pieces[key].get("endpoints") or ())
            held[key] = revision_of(pieces[key]), ids
            suspects |= ids
        self._held = held
        if first:
            return None
        untouched = {key for key, (_, ids) in held.items() if key not in written and ids.isdisjoint(suspects)}
        for key in held.keys() - untouched:
            suspects |= held[key][1]
        return Narrowing(frozenset(untouched), frozenset(suspects))

    def note(self, step: Plan) -> None:
        """Takes what is about to be written because of the last look."""
        held = self._held or {}
        moved: set[str] = set()
        for piece in (*step.create, *step.update):
            moved.update(identity(endpoint) for endpoint in piece["endpoints"])
        for piece in (*step.update, *step.delete):
            _, ids = held.get(key_of(piece), (0, frozenset[str]()))
            moved |= ids
        self._moved = frozenset(moved)
