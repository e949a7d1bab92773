"""The EndpointSlices that one controller manages, as last written or as last seen, whichever is newer.

A reconcile that came before the watch event of the last one's create would make the same slice again. Waiting
for the event would cost the time that a Pod's traffic waits for; instead the written objects are laid over
the cache until the cache has them, or has something newer.
"""

from __future__ import annotations

from sampan.api.objects import Obj, key_of, labels_of, namespace_of, revision_of
from sampan.client.informer import Informer

SERVICE_NAME = "kubernetes.io/service-name"
MANAGED_BY = "endpointslice.kubernetes.io/managed-by"


class Tracker:
    """Owned by the controller's tasks and its informer's handler, all on one loop; nothing here awaits."""

    def __init__(self, slices: Informer, manager: str) -> None:
        """`manager` is what the slices of this controller are labelled with."""
        self._slices = slices
        self._manager = manager
        self._index = f"slices of {manager}"
        self._unseen: dict[str, dict[str, Obj | None]] = {}
        """By Service key, then slice key: the object as written, None for a delete."""
        slices.add_index(self._index, lambda piece: (key,) if (key := self.service_key(piece)) else ())

    def service_key(self, piece: Obj) -> str:
        """The key of the Service whose slice this is; "" for a slice that is not this controller's."""
        labels = labels_of(piece)
        if labels.get(MANAGED_BY) != self._manager or SERVICE_NAME not in labels:
            return ""
        return f"{namespace_of(piece)}/{labels[SERVICE_NAME]}"

    def slices_of(self, service: str) -> list[Obj]:
        view: dict[str, Obj | None] = {
            key_of(piece): piece for piece in self._slices.by_index(self._index, service)
        }
        view.update(self._unseen.get(service, {}))
        return [piece for piece in view.values() if piece is not None]

    def wrote(self, service: str, piece: Obj) -> None:
        seen = self._slices.get(key_of(piece))
        if seen is None or revision_of(seen) < revision_of(piece):
            self._unseen.setdefault(service, {})[key_of(piece)] = piece

    def deleted(self, service: str, key: str) -> None:
        if self._slices.get(key) is not None:
            self._unseen.setdefault(service, {})[key] = None

    def distrust(self, service: str) -> None:
        """A write failed: what was laid over the cache may be wrong."""
        self._unseen.pop(service, None)

    def observe(self, old: Obj | None, new: Obj | None) -> bool:
        """Takes a change of the cache; answers whether it was anything but the echo of an own write."""
        piece = new or old
        assert piece is not None
        service, key = self.service_key(piece), key_of(piece)
        unseen = self._unseen.get(service)
        if unseen is None or key not in unseen:
            return True
        written = unseen[key]
        if new is None:
            echo = written is None
        else:
            if written is None or revision_of(new) < revision_of(written):
                return False  # older than what was written: the echo is still to come
            echo = revision_of(new) == revision_of(written)
        del unseen[key]
        if not unseen:
            del self._unseen[service]
        return not echo
