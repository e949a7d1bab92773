"""Where the endpoints of a service port stand in its table: pure.

Without session affinity slots are numbered from 0 without a gap, and as few endpoints as possible move. With
it nobody moves, because clients are remembered by their endpoint's slot (its seat): one that goes leaves a
gap, and what may be drawn is listed apart. Who was at a seat that became free is led to the one who takes it
next: the client had to change anyway.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import TypeVar

from sampan.proxy.table import Endpoint, Seats

T = TypeVar("T", bound=Hashable)


def place(old: Sequence[T | None], wanted: Sequence[T]) -> tuple[T, ...]:
    """The wanted ones in slots 0..n-1, such that as few as possible change their slot.

    New ones fill gaps; what gaps remain are filled from the end.
    """
    if not old:
        return tuple(wanted)
    slots = _filled(old, wanted)
    slot = 0
    while slot < len(slots):
        if slots[slot] is None:
            last = slots.pop()
            if slot < len(slots):
                slots[slot] = last
        else:
            slot += 1
    return tuple(one for one in slots if one is not None)


def seat(old: Seats, wanted: Sequence[Endpoint]) -> Seats:
    """The wanted ones, each where it was. New ones take free seats, and then new seats at the end."""
    slots = _filled(old, wanted)
    while slots and slots[-1] is None:
        slots.pop()
    return tuple(slots)


def taken(seats: Seats) -> list[int]:
    """The numbers of the seats on which there is somebody."""
    return [number for number, endpoint in enumerate(seats) if endpoint is not None]


def _filled(old: Sequence[T | None], wanted: Sequence[T]) -> list[T | None]:
    before = set(old)
    keep = set(wanted)
    missing = [one for one in wanted if one not in before]
    slots: list[T | None] = [one if one in keep else None for one in old]
    missing.reverse()
    for slot, one in enumerate(slots):
        if one is None and missing:
            slots[slot] = missing.pop()
    slots.extend(reversed(missing))
    return slots
