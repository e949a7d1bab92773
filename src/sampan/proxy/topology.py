"""Which endpoints of a service port this node uses: pure.

Sources: the EndpointSlice API reference (conditions, hints); "Virtual IPs and Service Proxies" and "Topology
Aware Routing" in the documentation; KEP-1669 (serving while terminating, as a last resort), KEP-3015
(traffic distribution). Hints count only when every ready endpoint has one and one of them is for us; nodes
come before zones; `Local` traffic never looks at them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from sampan.api.objects import Obj, labels_of
from sampan.proxy.table import Endpoint, canonical

HEADLESS = "service.kubernetes.io/headless"
_NOBODY: frozenset[str] = frozenset()


class Candidate(NamedTuple):
    """An endpoint of one port, as a slice has it."""

    endpoint: Endpoint
    local: bool
    ready: bool
    last_resort: bool
    """Not ready any more, but still serving while it terminates."""
    for_nodes: frozenset[str] = _NOBODY
    for_zones: frozenset[str] = _NOBODY


def candidates(slices: Iterable[Obj], port_name: str, protocol: str, node: str) -> list[Candidate]:
    """Each usable endpoint of the port once; the better of two opinions when slices overlap."""
    found: dict[Endpoint, Candidate] = {}
    for piece in slices:
        if HEADLESS in labels_of(piece):
            continue
        for port in piece.get("ports") or ():
            if (port.get("name") or "") != port_name or not port.get("port"):
                continue
            if (port.get("protocol") or "TCP").lower() != protocol:
                continue
            for endpoint in piece.get("endpoints") or ():
                conditions = endpoint.get("conditions") or {}
                ready = conditions.get("ready") is not False
                serving = ready if conditions.get("serving") is None else conditions["serving"]
                last_resort = bool(serving and conditions.get("terminating"))
                if not (ready or last_resort):
                    continue
                end = (canonical(endpoint["addresses"][0]), port["port"])
                if end not in found or (ready and not found[end].ready):
                    hints = endpoint.get("hints")
                    found[end] = Candidate(
                        end,
                        endpoint.get("nodeName") == node,
                        ready,
                        last_resort,
                        _names(hints, "forNodes") if hints else _NOBODY,
                        _names(hints, "forZones") if hints else _NOBODY,
                    )
    return list(found.values())


def choose(listed: Sequence[Candidate], node: str, zone: str) -> list[Candidate]:
    """For `Cluster` traffic: the ready ones that hints leave us; if none is ready, who still serves."""
    ready = [c for c in listed if c.ready]
    if not ready:
        return [c for c in listed if c.last_resort]
    for_node = [c for c in ready if node in c.for_nodes]
    if for_node and all(c.for_nodes for c in ready):
        return for_node
    for_zone = [c for c in ready if zone in c.for_zones]
    if for_zone and all(c.for_zones for c in ready):
        return for_zone
    return ready


def choose_local(listed: Iterable[Candidate]) -> list[Candidate]:
    """For `Local` traffic: this node's own, by the same order of preference."""
    own = [c for c in listed if c.local]
    return [c for c in own if c.ready] or [c for c in own if c.last_resort]


def _names(hints: Obj, which: str) -> frozenset[str]:
    return frozenset(hint["name"] for hint in hints.get(which) or ())
