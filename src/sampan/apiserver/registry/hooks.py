"""What a kind may add to the one pipeline that serves them all. The base class adds nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from sampan.api.objects import Obj
from sampan.api.request import Request, UserInfo
from sampan.api.resources import Resource
from sampan.apiserver.deletion import Options
from sampan.apiserver.watchcache import Hub
from sampan.store.contract import Op


@dataclass(slots=True)
class Call:
    """One request on its way: who asks for what, and what is to be said besides the answer."""

    user: UserInfo
    request: Request
    hub: Hub
    dry_run: bool = False
    warnings: list[str] = field(default_factory=list)

    @property
    def resource(self) -> Resource:
        return self.request.resource


Undo = Callable[[], None]


def _nothing() -> None:
    return None


class Hooks:
    """Called in this order: `check`, `prepare_*`, (admission, defaults, validation), `reserve`,
    `companions`, commit."""

    returns_deleted = False  # whether a delete answers with the object instead of a Status
    keeps_status_on_create = False
    creates_on_update = False
    unconditional_update = True
    parts: frozenset[str] = frozenset()  # subresources that are the object, with rules of their own

    def prepare_create(self, call: Call, obj: Obj) -> None:
        """The kind's own fields of a new object, after defaults."""

    def prepare_update(self, call: Call, new: Obj, old: Obj) -> None:
        """What an update of the object proper may not touch or brings along."""

    def prepare_status(self, call: Call, new: Obj, old: Obj) -> None:
        """The same for the status subresource."""

    def prepare_part(self, call: Call, part: str, new: Obj, old: Obj) -> Obj:
        """The object that an update through a subresource of the kind's own (`parts`) asks for."""
        return new

    def reserve(self, call: Call, new: Obj, old: Obj | None) -> Undo:
        """Takes what can be had only once (addresses) and completes the object with it; the answer gives it
        back if nothing is written, and leaves the object as it was.
        """
        return _nothing

    def companions(self, call: Call, new: Obj | None, old: Obj | None) -> Sequence[Op]:
        """What is to be written in the same transaction, before the object itself; `new` is None when the
        object goes.
        """
        return ()

    def check_delete(self, call: Call, obj: Obj) -> None:
        """Raises StatusError where deletion is forbidden."""

    def grace_s(self, obj: Obj, options: Options) -> int | None:
        """How long the object lingers after deletion; None for kinds that do not."""
        return None

    def held(self, obj: Obj) -> bool:
        """Whether something besides metadata.finalizers keeps a deleted object."""
        return False

    def marked(self, obj: Obj) -> None:
        """The object has just got its deletionTimestamp; `obj` may be changed."""
