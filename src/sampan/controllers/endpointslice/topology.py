"""Puts topology hints on the endpoints of Services that ask for them, and tells the user whether it can."""

from __future__ import annotations

from collections.abc import Sequence

from sampan.api.objects import Obj, key_of
from sampan.client.events import EventRecorder
from sampan.controllers.endpointslice.endpoints import Group, address_types
from sampan.controllers.endpointslice.hints import DISABLED, ENABLED, Unsafe, hinted, present
from sampan.controllers.endpointslice.nodes import Nodes


class Topology:
    def __init__(self, events: EventRecorder, nodes: Nodes) -> None:
        self._events, self._nodes = events, nodes
        self._said: dict[str, dict[str, str]] = {}
        """By Service key and family, what was told last; it is not said again."""

    def apply(
        self, service: Obj, wanted: dict[Group, dict[str, Obj]], existing: Sequence[Obj]
    ) -> dict[Group, dict[str, Obj]]:
        """`wanted` with hints, as far as that is safe."""
        key = key_of(service)
        kept = present(existing)
        result: dict[Group, dict[str, Obj]] = dict(wanted)
        for family in address_types(service):
            try:
                result |= hinted(wanted, family, self._nodes, kept)
                said = ENABLED
            except Unsafe as why:
                said = str(why)
            if self._said.setdefault(key, {}).get(family) != said:
                self._said[key][family] = said
                self._tell(service, said, family)
        return result

    def leave(self, service: Obj) -> None:
        """The Service does not ask for hints, or no longer."""
        for family, said in self._said.pop(key_of(service), {}).items():
            if said == ENABLED:
                self._tell(service, DISABLED, family)

    def forget(self, key: str) -> None:
        self._said.pop(key, None)

    def _tell(self, service: Obj, said: str, family: str) -> None:
        message = f"{said}, addressType: {family}"
        if said == ENABLED:
            self._events.event(service, "Normal", "TopologyAwareHintsEnabled", message)
        else:
            self._events.event(service, "Warning", "TopologyAwareHintsDisabled", message)
