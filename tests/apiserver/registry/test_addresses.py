from __future__ import annotations

import pytest

from sampan.apiserver.registry.addresses import Exhausted, OutOfRange, Pool, Taken, address_pool, port_pool


def test_each_number_goes_to_one_owner() -> None:
    pool = Pool(1, 3, 0)
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
    pool = Pool(0, 9, 4)
    assert {pool.take_any("a") for _ in range(6)} == {4, 5, 6, 7, 8, 9}
    assert pool.take_any("a") in range(4)


@pytest.mark.parametrize(
    ("cidr", "first", "last"),
    [("10.96.0.0/16", 0x0A600001, 0x0A60FFFE), ("10.0.0.0/30", 0x0A000001, 0x0A000002)],
)
def test_a_range_keeps_its_ends_to_itself(cidr: str, first: int, last: int) -> None:
    pool = address_pool(cidr)
    assert (pool.first, pool.last) == (first, last)
    assert pool.take_any("a") in range(first, last + 1)


def test_small_ranges_of_ports_have_no_band() -> None:
    assert port_pool(30000, 30010).band == 0
    assert port_pool(30000, 32767).band == 86
