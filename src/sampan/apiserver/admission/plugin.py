"""What an admission plugin is: it adds to objects, or refuses them, beyond what their own kind rules.

Source: reference/access-authn-authz/admission-controllers.
"""

from __future__ import annotations

from sampan.api import errors
from sampan.api.errors import StatusError
from sampan.api.objects import Obj
from sampan.apiserver.registry.hooks import Call, Undo
from sampan.apiserver.watchcache import Hub

CREATE = "CREATE"
UPDATE = "UPDATE"


class Plugin:
    """A plugin is asked for the operations and subresources it names; `old` is None on create.

    Order for one write: `mutate` of all plugins, defaults, validation of the kind, `validate` of all plugins,
    `reserve` of all plugins, commit. `validate` and `reserve` may be called again for the same write, when a
    generated name was taken or the object changed meanwhile. Plugins see the caches, not the store.
    All raise StatusError to refuse; texts appended to `call.warnings` become Warning headers of the answer.
    """

    operations: frozenset[str] = frozenset({CREATE})
    subresources: frozenset[str] = frozenset({""})

    def __init__(self, hub: Hub) -> None:
        self.hub = hub

    def concerns(self, call: Call, old: Obj | None) -> bool:
        operation = CREATE if old is None else UPDATE
        return operation in self.operations and call.request.subresource in self.subresources

    async def mutate(self, call: Call, new: Obj, old: Obj | None) -> None:
        """May change `new`."""

    async def validate(self, call: Call, new: Obj, old: Obj | None) -> None:
        """Looks at what will be written."""

    def reserve(self, call: Call, new: Obj, old: Obj | None) -> Undo | None:
        """In the step in which the store gets the write; the answer is called if nothing is written."""
        return None


def refused(call: Call, obj: Obj, why: str) -> StatusError:
    """403 of `mutate`; names the object as its author did: by the prefix, where the rest was made up."""
    fields = obj["metadata"]
    return errors.forbidden(call.resource, fields.get("generateName") or fields.get("name", ""), why)


def denied(call: Call, obj: Obj, why: str) -> StatusError:
    """403 of `validate` and `reserve`, when the object has its name."""
    return errors.forbidden(call.resource, obj["metadata"].get("name", ""), why)
