"""What endpoints have to know of nodes: the zone of each, and each zone's share of the CPUs. Pure state."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from sampan.api import quantity
from sampan.api.objects import Obj, condition_is_true, labels_of, name_of
from sampan.controllers.endpointslice.endpoints import ZONE_LABEL

EXCLUDED = ("node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/master")


class _Node(NamedTuple):
    zone: str
    counts: bool
    """It is ready and no control plane: traffic comes from it."""
    cpu_milli: int


class Nodes:
    def __init__(self) -> None:
        self.zones: dict[str, str] = {}
        """By name, of every node there is; "" where it says none."""
        self.ratios: dict[str, float] = {}
        """Each zone's share of the allocatable CPUs; empty if it cannot be told or all are in one zone."""
        self._nodes: dict[str, _Node] = {}

    def change(self, old: Obj | None, new: Obj | None) -> tuple[bool, bool]:
        """(whether the node came, went or moved, whether the zones' shares changed)."""
        node = new or old
        assert node is not None
        name = name_of(node)
        now = _read(new) if new is not None else None
        if now == self._nodes.get(name):
            return False, False
        if now is None:
            del self._nodes[name]
        else:
            self._nodes[name] = now
        zone = now.zone if now is not None else None
        moved = zone != self.zones.get(name)
        if zone is None:
            self.zones.pop(name, None)
        else:
            self.zones[name] = zone
        ratios = _ratios(node for node in self._nodes.values() if node.counts)
        shifted, self.ratios = ratios != self.ratios, ratios
        return moved, shifted

    def in_one_zone(self) -> bool:
        """Whether all that is missing for shares is a second zone."""
        counted = [node for node in self._nodes.values() if node.counts]
        whole = all(node.zone and node.cpu_milli for node in counted)
        return whole and len({node.zone for node in counted}) == 1


def _read(node: Obj) -> _Node:
    labels = labels_of(node)
    cpu = ((node.get("status") or {}).get("allocatable") or {}).get("cpu") or "0"
    counts = condition_is_true(node, "Ready") and not any(label in labels for label in EXCLUDED)
    return _Node(labels.get(ZONE_LABEL, ""), counts, quantity.milli(cpu))


def _ratios(nodes: Iterable[_Node]) -> dict[str, float]:
    by_zone: dict[str, int] = {}
    for node in nodes:
        if not node.zone or not node.cpu_milli:
            return {}
        by_zone[node.zone] = by_zone.get(node.zone, 0) + node.cpu_milli
    total = sum(by_zone.values())
    return {zone: cpu / total for zone, cpu in by_zone.items()} if len(by_zone) > 1 else {}
