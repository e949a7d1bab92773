"""What the controller has created and deleted and its Pod informer has not shown yet, by Pod uid.

While there is any of it for a set, the cache must not be counted, or the set would create twice. A delete
is always seen in the end, for the cache had the Pod. A create may never be: a Pod that came and went
while a watch was broken is in no event and in no list. So creates know when they were made, and after
`DOUBTFUL_S` the controller asks for the Pod itself instead of waiting.
"""

from __future__ import annotations

from dataclasses import dataclass, field

DOUBTFUL_S = 5.0


@dataclass(slots=True)
class _Writes:
    created: dict[str, tuple[str, float]] = field(default_factory=dict)
    """uid -> (Pod key, when)."""
    deleted: set[str] = field(default_factory=set)


class Unseen:
    """By the key of the owner. Changed by the informer's handler and the owner's one worker."""

    def __init__(self) -> None:
        self._writes: dict[str, _Writes] = {}

    def created(self, owner: str, uid: str, pod: str, now_s: float) -> None:
        self._writes.setdefault(owner, _Writes()).created[uid] = (pod, now_s)

    def deleting(self, owner: str, uid: str) -> None:
        """Call it before the delete is sent."""
        self._writes.setdefault(owner, _Writes()).deleted.add(uid)

    def saw(self, owner: str, uid: str, *, goes: bool) -> None:
        """The Pod was shown; `goes` if deleted or on its way out. Also for a write that failed."""
        writes = self._writes.get(owner)
        if writes is None:
            return
        writes.created.pop(uid, None)
        if goes:
            writes.deleted.discard(uid)
        if not writes.created and not writes.deleted:
            del self._writes[owner]

    def any(self, owner: str) -> bool:
        return owner in self._writes

    def doubtful(self, owner: str, now_s: float) -> list[tuple[str, str]]:
        """(uid, Pod key) of creates that should have been seen long ago."""
        writes = self._writes.get(owner)
        created = writes.created.items() if writes is not None else ()
        return [(uid, pod) for uid, (pod, since_s) in created if now_s - since_s >= DOUBTFUL_S]

    def forget(self, owner: str) -> None:
        self._writes.pop(owner, None)
