"""One stored object: its bytes, and its dict once somebody asks for it.

Bytes are stamped once, at commit, with their own revision; from then on the same bytes serve GET, LIST and
WATCH. Its dict, several times the size of the bytes, stays in memory for as long as the object is the present
one and somebody in the process watches it; all of them share it: read it, never write to it. Whoever else
needs a dict has it parsed for the moment.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable

import orjson

from sampan.api.objects import Obj
from sampan.apiserver.likeness import take_over
from sampan.store.contract import Stamped

_MARK = f"revision-{secrets.token_hex(12)}"
_MARK_BYTES = _MARK.encode()


class Entry:
    """`key` is the store's; `revision` that of the last change (or of the deletion)."""

    __slots__ = ("_obj", "key", "revision", "value")

    def __init__(self, key: str, value: bytes, revision: int) -> None:
        self.key = key
        self.value = value
        self.revision = revision
        self._obj: Obj | None = None

    @property
    def obj(self) -> Obj:
        """The shared dict if there is one, or one that is gone with its reader."""
        return orjson.loads(self.value) if self._obj is None else self._obj

    def share(self, model: Obj | None = None) -> Obj:
        """The dict that all get from here on; what `model` has at the same place is kept once for both."""
        if self._obj is None:
            self._obj = orjson.loads(self.value)
            if model is not None:
                take_over(self._obj, model)
        return self._obj

    @property
    def shared(self) -> bool:
        return self._obj is not None

    def forget(self) -> None:
        """Lets go of the dict; who holds it keeps it."""
        self._obj = None

    def copy(self) -> Obj:
        """A dict of the caller's own; cheaper than a deep copy of the shared one."""
        return orjson.loads(self.value)


def stamp(obj: Obj) -> Stamped:
    """`obj` as the bytes before and after its resourceVersion. `obj` keeps no resourceVersion."""
    metadata = obj["metadata"]
    metadata["resourceVersion"] = _MARK
    try:
        head, _, tail = orjson.dumps(obj).partition(_MARK_BYTES)
    finally:
        del metadata["resourceVersion"]
    return Stamped(head, tail)


def list_bytes(api_version: str, kind: str, metadata: Obj, items: Iterable[bytes]) -> bytes:
    """A list kind put together from its items' bytes."""
    head = b'{"kind":%b,"apiVersion":%b,"metadata":%b,"items":[' % (
        orjson.dumps(kind),
        orjson.dumps(api_version),
        orjson.dumps(metadata),
    )
    return head + b",".join(items) + b"]}"


def event_line(kind: str, value: bytes) -> bytes:
    """One line of a watch stream."""
    return b'{"type":"%b","object":%b}\n' % (kind.encode(), value)
