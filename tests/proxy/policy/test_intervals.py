"""Ranges cut into pieces."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from sampan.proxy.policy.intervals import Piece, pieces, ranges_of
from sampan.proxy.policy.model import Block

ranges = st.tuples(st.integers(0, 30), st.integers(0, 30)).map(sorted).map(lambda pair: (pair[0], pair[1]))


@given(st.dictionaries(st.sampled_from("abcde"), ranges.map(lambda found: [found])))
def test_a_number_is_in_the_piece_of_all_ranges_that_hold_it(
    wanted: dict[str, list[tuple[int, int]]],
) -> None:
    cut = pieces(wanted)
    for number in range(32):
        holding = {name for name, listed in wanted.items() if any(a <= number <= b for a, b in listed)}
        found = [piece for piece in cut if piece.first <= number <= piece.last]
        assert [piece.held_by for piece in found] == ([frozenset(holding)] if holding else [])
    for a, b in pairwise(cut):
        assert a.last < b.first and (a.last + 1 < b.first or a.held_by != b.held_by)


def test_a_block_within_a_block() -> None:
    found = pieces({"wide": [(0, 9)], "one": [(5, 5)]})
    assert found == [
        Piece(0, 4, frozenset({"wide"})),
        Piece(5, 5, frozenset({"wide", "one"})),
        Piece(6, 9, frozenset({"wide"})),
    ]


def test_what_excepts_leave_of_a_block() -> None:
    ten = 10 << 24
    assert ranges_of(Block("10.0.0.0/24")) == ((ten, ten + 255),)
    assert ranges_of(Block("10.0.0.0/24", ("10.0.0.0/25",))) == ((ten + 128, ten + 255),)
    assert ranges_of(Block("10.0.0.0/24", ("10.0.0.128/25",))) == ((ten, ten + 127),)
    nested = Block("10.0.0.0/24", ("10.0.0.64/26", "10.0.0.64/30", "10.0.0.128/25"))
    assert ranges_of(nested) == ((ten, ten + 63),)
    assert ranges_of(Block("10.0.0.0/24", ("10.0.0.0/25", "10.0.0.128/25"))) == ()
    assert ranges_of(Block("::/0")) == ((0, (1 << 128) - 1),)
