"""Ranges that overlap, cut into pieces that do not. Pure.

The kernel finds the one interval a number is in; what is asked is all ranges it is in. So each piece stands
for the set of ranges that hold it.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping
from functools import lru_cache
from ipaddress import ip_network
from typing import Generic, NamedTuple, TypeVar

from sampan.proxy.policy.model import Block

T = TypeVar("T", bound=Hashable)


class Piece(NamedTuple, Generic[T]):
    first: int
    last: int
    held_by: frozenset[T]


def pieces(ranges: Mapping[T, Iterable[tuple[int, int]]]) -> list[Piece[T]]:
    """In order; ranges of the same thing must not overlap. What nothing holds is left out."""
    changes: dict[int, tuple[list[T], list[T]]] = {}
    for thing, listed in ranges.items():
        for first, last in listed:
            changes.setdefault(first, ([], []))[0].append(thing)
            changes.setdefault(last + 1, ([], []))[1].append(thing)
    found: list[Piece[T]] = []
    held: set[T] = set()
    since = 0
    for at in sorted(changes):
        if held:
            found.append(Piece(since, at - 1, frozenset(held)))
        begins, ends = changes[at]
        held.difference_update(ends)
        held.update(begins)
        since = at
    return _joined(found)


@lru_cache(maxsize=1 << 12)
def ranges_of(block: Block) -> tuple[tuple[int, int], ...]:
    """First and last addresses, as numbers, of what the block holds. Parsing is slow, so it is remembered."""
    network = ip_network(block.cidr)
    found = []
    at = int(network.network_address)
    holes = sorted((ip_network(text) for text in block.excluded), key=lambda hole: hole.network_address)
    for hole in holes:
        first, last = int(hole.network_address), int(hole.broadcast_address)
        if first > at:
            found.append((at, first - 1))
        at = max(at, last + 1)
    end = int(network.broadcast_address)
    return (*found, (at, end)) if at <= end else tuple(found)


def _joined(found: Iterable[Piece[T]]) -> list[Piece[T]]:
    return list(_join(iter(found)))


def _join(found: Iterator[Piece[T]]) -> Iterator[Piece[T]]:
    """Neighbours held by the same ranges are one piece."""
    pending: Piece[T] | None = None
    for piece in found:
        if pending and pending.last + 1 == piece.first and pending.held_by == piece.held_by:
            pending = Piece(pending.first, piece.last, piece.held_by)
        else:
            if pending:
                yield pending
            pending = piece
    if pending:
        yield pending
