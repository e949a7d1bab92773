"""For which zone each endpoint is, where `service.kubernetes.io/topology-mode: Auto` asks for it. Pure.

Each zone is to have endpoints in proportion to its CPUs, most of them its own; where that would leave one
overloaded by more than a fifth, nobody gets a hint. Hints are kept while they do no harm, so that few slices
change. Sources: docs "Topology Aware Routing" (with its safeguards), KEP-2433.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sampan.api.objects import Obj
from sampan.controllers.endpointslice.endpoints import Group, identity
from sampan.controllers.endpointslice.nodes import Nodes

OVERLOAD = 0.2

ENABLED = "Topology Aware Hints has been enabled"
DISABLED = "Topology Aware Hints has been disabled"
NO_NODE_FACTS = "Insufficient Node information: allocatable CPU or zone not specified on one or more nodes"
ONE_ZONE = "Nodes only ready in one zone"
TOO_FEW = "Insufficient number of endpoints"
UNFAIR = "Unable to allocate minimum required endpoints to each zone without exceeding overload threshold"
NO_ZONE = "One or more endpoints do not have a zone specified"


class Unsafe(Exception):
    """Hints would do harm; says why, in upstream's words."""


@dataclass(frozen=True, slots=True)
class Share:
    """How many endpoints a zone should have."""

    minimum: int
    desired: float
    maximum: int


def hinted(
    wanted: Mapping[Group, Mapping[str, Obj]], family: str, nodes: Nodes, kept: Mapping[str, str]
) -> dict[Group, dict[str, Obj]]:
    """The groups of one family with hints on the endpoints that are ready. `kept`: see `present`.

    Raises Unsafe.
    """
    groups = {group: dict(listed) for group, listed in wanted.items() if group.address_type == family}
    ready = {
        key: endpoint
        for listed in groups.values()
        for key, endpoint in listed.items()
        if endpoint["conditions"]["ready"]
    }
    if not nodes.ratios:
        raise Unsafe(ONE_ZONE if nodes.in_one_zone() else NO_NODE_FACTS)
    homes = {key: endpoint.get("zone", "") for key, endpoint in ready.items()}
    zones = allocate(homes, shares(nodes.ratios, len(ready)), kept)
    for listed in groups.values():
        for key in listed.keys() & zones.keys():
            listed[key] = {**listed[key], "hints": {"forZones": [{"name": zones[key]}]}}
    return groups


def present(pieces: Iterable[Obj]) -> dict[str, str]:
    """The zone that each endpoint of these slices is hinted for, by `identity`."""
    found: dict[str, str] = {}
    for piece in pieces:
        for endpoint in piece.get("endpoints") or ():
            listed = (endpoint.get("hints") or {}).get("forZones") or []
            if len(listed) == 1:
                found[identity(endpoint)] = listed[0]["name"]
    return found


def shares(ratios: Mapping[str, float], endpoints: int) -> dict[str, Share]:
    """Raises Unsafe if so many endpoints cannot be shared out fairly."""
    about = f" ({endpoints} endpoints, {len(ratios)} zones)"
    if endpoints < len(ratios):
        raise Unsafe(TOO_FEW + about)
    minimum = {zone: math.ceil(ratio * endpoints / (1 + OVERLOAD)) for zone, ratio in ratios.items()}
    spare = endpoints - sum(minimum.values())
    if spare < 0:
        raise Unsafe(UNFAIR + about)
    return {
        zone: Share(least, max(ratios[zone] * endpoints, least), least + spare)
        for zone, least in minimum.items()
    }


def allocate(
    homes: Mapping[str, str], wanted: Mapping[str, Share], kept: Mapping[str, str]
) -> dict[str, str]:
    """The zone for each endpoint of `homes`, which says where it is. Raises Unsafe if one is nowhere."""
    if not all(homes.values()):
        raise Unsafe(NO_ZONE)
    zones = _allocate(homes, wanted, kept)
    counts = Counter(zones.values())
    short = any(counts[zone] < share.minimum for zone, share in wanted.items())
    abroad = {(homes[key], zone) for key, zone in zones.items()}
    crossed = any(home != zone and (zone, home) in abroad for home, zone in abroad)
    # What was kept may leave too little to give, or lend one way what it borrows the other.
    return _allocate(homes, wanted, {}) if kept and (short or crossed) else zones


def _allocate(
    homes: Mapping[str, str], wanted: Mapping[str, Share], kept: Mapping[str, str]
) -> dict[str, str]:
    zones: dict[str, str] = {}
    counts: Counter[str] = Counter()
    free: list[str] = []
    for key in sorted(homes):  # whatever order Pods come in, the same ones move
        zone = kept.get(key, "")
        if zone in wanted and counts[zone] < wanted[zone].maximum:
            zones[key] = zone
            counts[zone] += 1
        else:
            free.append(key)
    counts.update(homes[key] for key in free)
    moves = _moves(wanted, counts)
    for key in free:
        receiving = moves.get(homes[key])
        zones[key] = receiving.pop(0) if receiving else homes[key]
    return zones


def _moves(wanted: Mapping[str, Share], counts: Mapping[str, int]) -> dict[str, list[str]]:
    """By giving zone: the zones that get its endpoints, one each. No move for less than half of one."""
    over = {zone: count - _desired(wanted, zone) for zone, count in counts.items()}
    under = {zone: share.desired - counts.get(zone, 0) for zone, share in wanted.items()}
    moves: dict[str, list[str]] = {}
    while over and under:
        giving, receiving = max(over, key=over.__getitem__), max(under, key=under.__getitem__)
        most, need = over[giving], under[receiving]
        if (most < 1 and need < 1) or most < 0.5 or need < 0.5:
            break
        moves.setdefault(giving, []).append(receiving)
        over[giving] -= 1
        under[receiving] -= 1
    return moves


def _desired(wanted: Mapping[str, Share], zone: str) -> float:
    """A zone without nodes to serve needs none of the endpoints that it has."""
    return wanted[zone].desired if zone in wanted else 0.0
