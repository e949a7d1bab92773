from __future__ import annotations

import pytest

from sampan.apiserver.registry.addresses import (
    Exhausted,
    OutOfRange,
    Pool,
    Range,
    Taken,
    address_range,
    port_range,
)


def test_each_number_goes_to_one_owner() -> None:
    pool = Pool([Range(1, 3)])
    assert pool.take(2, "a") and not pool.take(2, "a")
    with pytest.raises(Taken):
        pool.take(2, "b")
    with pytest.raises(OutOfRange):
        pool.take(4, "b")
    assert {pool.take_any("b"), pool.take_any("b")} == {1, 3}
    with pytest.raises(Exhausted):
        pool.take_any("c")
    pool.give_back([1, 2, 3], "b")
    assert pool.holder(2) == "a" and len(pool) == 1


def test_automatic_choice_leaves_the_lower_band_until_the_rest_is_full() -> None:
    pool = Pool([Range(0, 9, band=4)])
    assert {pool.take_any("a") for _ in range(6)} == {4, 5, 6, 7, 8, 9}
    assert pool.take_any("a") in range(4)


def test_the_second_range_gives_when_the_first_is_full() -> None:
    pool = Pool([Range(0, 2, band=1), Range(10, 11)])
    assert [pool.take_any("a") in range(3) for _ in range(3)] == [True] * 3
    assert {pool.take_any("a"), pool.take_any("a")} == {10, 11}


def test_overlapping_ranges_give_a_number_once() -> None:
    pool = Pool([Range(0, 3), Range(2, 5)])
    assert sorted(pool.take_any("a") for _ in range(6)) == [0, 1, 2, 3, 4, 5]
    with pytest.raises(Exhausted):
        pool.take_any("a")


def test_who_holds_a_number_keeps_it_when_its_range_goes() -> None:
    pool = Pool([Range(0, 9)])
    pool.take(5, "a")
    pool.ranges = ()
    assert not pool.take(5, "a")
    with pytest.raises(OutOfRange):
        pool.take(5, "b")


def test_what_is_written_is_held_even_outside_of_every_range() -> None:
    pool = Pool([Range(0, 9)])
    pool.hold(70, "a")
    pool.hold(70, "b")
    assert pool.holder(70) == "a" and not pool.take(70, "a")


def test_a_number_that_is_taken_elsewhere_is_not_given() -> None:
    pool = Pool([Range(0, 3)], elsewhere={1, 2}.__contains__)
    with pytest.raises(Taken):
        pool.take(1, "a")
    assert {pool.take_any("a"), pool.take_any("a")} == {0, 3}
    with pytest.raises(Exhausted):
        pool.take_any("a")


@pytest.mark.parametrize(
    ("cidr", "first", "last", "band"),
    [
        ("10.96.0.0/12", 0x0A600001, 0x0A6FFFFE, 256),
        ("10.96.0.0/16", 0x0A600001, 0x0A60FFFE, 256),
        ("10.96.0.0/20", 0x0A600001, 0x0A600FFE, 256),
        ("10.96.0.0/22", 0x0A600001, 0x0A6003FE, 64),
        ("10.0.0.0/24", 0x0A000001, 0x0A0000FE, 16),
        ("10.0.0.0/27", 0x0A000001, 0x0A00001E, 16),
        ("10.0.0.0/28", 0x0A000001, 0x0A00000E, 0),
        ("10.0.0.0/30", 0x0A000001, 0x0A000002, 0),
        ("fd00::/120", (0xFD00 << 112) + 1, (0xFD00 << 112) + 255, 16),
        ("fd00::/64", (0xFD00 << 112) + 1, (0xFD00 << 112) + (1 << 64) - 1, 256),
    ],
)
def test_a_range_keeps_its_ends_to_itself_and_a_band_for_who_asks(
    cidr: str, first: int, last: int, band: int
) -> None:
    assert address_range(cidr) == Range(first, last, band)


@pytest.mark.parametrize(
    ("first", "last", "band"),
    [(30000, 32767, 86), (30000, 30015, 0), (30000, 30016, 16), (30000, 30511, 16), (1, 65535, 128)],
)
def test_the_lower_part_of_the_node_ports_is_for_who_asks(first: int, last: int, band: int) -> None:
    assert port_range(first, last) == Range(first, last, band)
