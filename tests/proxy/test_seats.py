from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sampan.proxy.seats import place, seat, taken
from sampan.proxy.table import Endpoint

A, B, C, D = ((f"10.0.0.{n}", 80) for n in range(4))


def test_removed_endpoint_gives_its_slot_to_the_last_one() -> None:
    ends = [(f"10.0.0.{n}", 80) for n in range(5)]
    assert place(ends, [ends[0], ends[2], ends[3], ends[4]]) == (ends[0], ends[4], ends[2], ends[3])
    assert place(ends[:2], [("10.0.0.9", 80), ends[1]]) == (("10.0.0.9", 80), ends[1])


ENDS = st.lists(st.tuples(st.integers(0, 12).map(str), st.integers(1, 2)), unique=True, max_size=12)


@given(ENDS, ENDS)
def test_slots_hold_what_is_wanted_and_move_as_few_as_can_be(
    old: list[tuple[str, int]], wanted: list[tuple[str, int]]
) -> None:
    placed = place(old, wanted)
    assert sorted(placed) == sorted(wanted)
    kept_in_place = sum(1 for a, b in zip(old, placed, strict=False) if a == b)
    could_stay = sum(1 for end in old[: len(wanted)] if end in wanted)
    assert kept_in_place == could_stay


def test_gaps_of_another_order_are_closed() -> None:
    assert place((A, None, B), [A, B]) == (A, B)


def test_nobody_moves_who_has_a_seat() -> None:
    assert seat((A, B, C), [C, A]) == (A, None, C)
    assert seat((A, None, C), [D, A, C]) == (A, D, C)
    assert seat((A, B, C), [A]) == (A,)
    assert taken((A, None, C)) == [0, 2]


@given(ENDS, ENDS)
def test_seats_hold_what_is_wanted_and_none_is_left_for_another(
    old: list[Endpoint], wanted: list[Endpoint]
) -> None:
    seats = seat(tuple(old), wanted)
    assert sorted(seats[number] for number in taken(seats)) == sorted(wanted)
    assert all(seats[n] == end for n, end in enumerate(old) if end in wanted)
