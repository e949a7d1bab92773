"""The endpoints that a Service should have, brought up to date Pod by Pod. Pure state.

Making a thousand endpoints anew because one Pod became ready takes milliseconds of everybody's time; so for
Services of many Pods they are kept. Small ones are made anew each time, which takes next to nothing and no
memory.
"""

from __future__ import annotations

from collections.abc import Iterable

from sampan.api.objects import Obj
from sampan.controllers.endpointslice.endpoints import Group, Maker, Zones, identity, with_placeholders
from sampan.controllers.endpointslice.layout import Layout, Narrowing
from sampan.controllers.slicewrites import Plan

WORTH_KEEPING = 32
"""Pods from which on a picture is kept."""


class Picture:
    """What `endpoints.desired` would answer for the Service and the Pods that were put here."""

    def __init__(self, service: Obj, zones: Zones) -> None:
        self._maker = Maker(service, zones)
        self._groups: dict[Group, dict[str, Obj]] = {}
        self._places: dict[str, tuple[tuple[Group, str], ...]] = {}
        self.stale: set[str] = set()
        """Keys of Pods that changed, came or went, and were not put here since."""
        self._changed: set[str] = set()
        self._layout = Layout()

    @property
    def service(self) -> Obj:
        """The very object it was made for: a newer one needs another picture."""
        return self._maker.service

    def put(self, key: str, pod: Obj | None) -> None:
        """Takes the Pod as it is now; None: the Service does not select it, or it has gone."""
        was = self._places.pop(key, ())
        made = list(self._maker.endpoints(pod)) if pod is not None else []
        places = tuple((group, identity(endpoint)) for group, endpoint in made)
        for group, endpoint_id in was:
            if (group, endpoint_id) not in places:
                del self._groups[group][endpoint_id]
                if not self._groups[group]:
                    del self._groups[group]
        self._changed.update(endpoint_id for _, endpoint_id in (*was, *places))
        for (group, endpoint_id), (_, endpoint) in zip(places, made, strict=True):
            self._groups.setdefault(group, {})[endpoint_id] = endpoint
        if pod is not None:
            self._places[key] = places
        self.stale.discard(key)

    def __len__(self) -> int:
        """How many Pods are selected."""
        return len(self._places)

    def desired(self) -> dict[Group, dict[str, Obj]]:
        return with_placeholders(dict(self._groups), self._maker.families)

    def narrow(self, existing: Iterable[Obj]) -> Narrowing | None:
        """Where a plan has to look; what was planned is to be told to `note`, and to be carried out."""
        narrowing = self._layout.look(existing, self._changed)
        self._changed = set()
        return narrowing

    def note(self, step: Plan) -> None:
        self._layout.note(step)
