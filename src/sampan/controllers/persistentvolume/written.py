"""Objects as this controller left them, until the informer shows them as new or newer.

Without it, the step after a write would be planned from what was there before, and fail.
"""

from __future__ import annotations

from sampan.api.objects import Obj, key_of, revision_of, uid_of
from sampan.client.informer import Informer


class Written:
    """All on the event loop; entries go when the informer has caught up with them."""

    def __init__(self, informer: Informer) -> None:
        self._informer = informer
        self._own: dict[str, Obj] = {}
        informer.subscribe(self._seen)

    def get(self, key: str) -> Obj | None:
        own = self._own.get(key)
        return own if own is not None else self._informer.get(key)

    def put(self, obj: Obj) -> None:
        """What the API answered to a write."""
        seen = self._informer.get(key_of(obj))
        if seen is None or uid_of(seen) != uid_of(obj) or revision_of(seen) < revision_of(obj):
            self._own[key_of(obj)] = obj

    def _seen(self, old: Obj | None, new: Obj | None) -> None:
        shown = new or old
        assert shown is not None
        key = key_of(shown)
        own = self._own.get(key)
        if own is not None and (new is None or revision_of(new) >= revision_of(own)):
            del self._own[key]
