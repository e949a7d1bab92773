"""Addresses are given to one holder at a time, lowest first, and come back."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan.controllers.loadbalancer.pool import Pool, Pools, Refused

V4, V6 = "100.65.0.0/29", "fd00:5::/125"
BOTH = ("IPv4", "IPv6")


def choose(
    pools: Pools, holder: str, *families: str, asked: str = "", has: tuple[str, ...] = ()
) -> list[str]:
    return pools.choose(holder, families or ("IPv4",), asked.split(), has)


def test_the_lowest_that_is_free() -> None:
    pools = Pools((V4,))
    assert [choose(pools, holder) for holder in "abc"] == [["100.65.0.1"], ["100.65.0.2"], ["100.65.0.3"]]
    assert pools.keep("b")
    assert choose(pools, "d") == ["100.65.0.2"]
    assert choose(pools, "e") == ["100.65.0.4"]


def test_one_of_each_family_that_has_a_pool() -> None:
    assert choose(Pools((V4, V6)), "a", *BOTH) == ["100.65.0.1", "fd00:5::1"]
    assert choose(Pools((V4, V6)), "a", "IPv6", "IPv4") == ["fd00:5::1", "100.65.0.1"]
    assert choose(Pools((V4,)), "a", *BOTH) == ["100.65.0.1"]
    with pytest.raises(Refused, match="no pool of any"):
        choose(Pools((V4,)), "a", "IPv6")


def test_what_a_service_has_it_keeps() -> None:
    pools = Pools((V4, V6))
    pools.learn("a", ["100.65.0.5", "FD00:5:0::3"])
    assert choose(pools, "a", *BOTH, has=("100.65.0.5", "FD00:5:0::3")) == ["100.65.0.5", "fd00:5::3"]
    assert choose(pools, "a", *BOTH) == ["100.65.0.5", "fd00:5::3"]
    assert not pools.keep("a", ["100.65.0.5", "FD00:5:0::3"])


def test_who_came_first_keeps_it() -> None:
    pools = Pools((V4,))
    pools.learn("a", ["100.65.0.1"])
    pools.learn("b", ["100.65.0.1"])
    assert choose(pools, "b", has=("100.65.0.1",)) == ["100.65.0.2"]
    assert choose(pools, "a", has=("100.65.0.1",)) == ["100.65.0.1"]


def test_the_one_that_is_asked_for() -> None:
    pools = Pools((V4, V6))
    assert choose(pools, "a", *BOTH, asked="100.65.0.4") == ["100.65.0.4", "fd00:5::1"]
    assert choose(pools, "a", *BOTH, asked="fd00:5:0::6", has=("100.65.0.4",)) == ["100.65.0.4", "fd00:5::6"]
    assert pools.keep("a", ["100.65.0.4", "fd00:5::6"])


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        ("100.65.0.1", "in use by another Service"),
        ("100.65.0.0", "not in the pool"),
        ("100.65.0.7", "not in the pool"),
        ("192.0.2.1", "not in the pool"),
        ("nonsense", "not in the pool"),
        ("fd00:5::2", "of no family"),
    ],
)
def test_an_address_that_cannot_be_had(asked: str, why: str) -> None:
    pools = Pools((V4, V6))
    choose(pools, "a")
    with pytest.raises(Refused, match=why):
        choose(pools, "b", asked=asked)
    assert not any(pools.holds("b", f"100.65.0.{n}") for n in range(8))


def test_a_full_pool_gives_nothing_at_all() -> None:
    pools = Pools(("100.65.0.0/30", V6))
    choose(pools, "a"), choose(pools, "b")
    with pytest.raises(Refused, match="all 2 addresses of the pool"):
        choose(pools, "c", "IPv6", "IPv4")
    assert not pools.holds("c", "fd00:5::1")
    pools.keep("a")
    assert choose(pools, "c", "IPv6", "IPv4") == ["fd00:5::1", "100.65.0.1"]


@pytest.mark.parametrize(
    ("text", "first", "last", "count"),
    [
        ("192.0.2.0/24", "192.0.2.1", "192.0.2.254", 254),
        ("192.0.2.8/31", "192.0.2.8", "192.0.2.9", 2),
        ("192.0.2.8/32", "192.0.2.8", "192.0.2.8", 1),
        ("192.0.2.10-192.0.2.20", "192.0.2.10", "192.0.2.20", 11),
        ("fd00:5::-fd00:5::f", "fd00:5::", "fd00:5::f", 16),
    ],
)
def test_what_a_pool_has(text: str, first: str, last: str, count: int) -> None:
    pool = Pool(text)
    assert len(pool) == count and pool.lowest_free() == first
    assert pool.number_of(first) is not None and pool.number_of(last) is not None
    assert pool.number_of(str(ip_address(first) - 1)) is pool.number_of(str(ip_address(last) + 1)) is None


def test_pools_of_one_family_are_used_in_their_order() -> None:
    pools = Pools(("192.0.2.8/32", V6, "100.65.0.4-100.65.0.5"))
    assert [choose(pools, holder) for holder in "abc"] == [["192.0.2.8"], ["100.65.0.4"], ["100.65.0.5"]]
    with pytest.raises(
        Refused, match=r"all 3 addresses of the pools 192\.0\.2\.8/32, 100\.65\.0\.4-100\.65\.0\.5"
    ):
        choose(pools, "d")
    pools.keep("a")
    assert choose(pools, "d", asked="192.0.2.8") == ["192.0.2.8"]


def test_one_address_of_each_family_may_be_asked_for() -> None:
    pools = Pools((V4, V6))
    assert choose(pools, "a", *BOTH, asked="fd00:5::4 100.65.0.3") == ["100.65.0.3", "fd00:5::4"]
    with pytest.raises(Refused, match="two of one family"):
        choose(pools, "b", *BOTH, asked="100.65.0.4 100.65.0.5")


def test_what_came_from_a_former_pool() -> None:
    pools = Pools((V4,), former=("192.0.2.0/24", "fd00:6::/120"))
    assert pools.gave("192.0.2.7") and pools.gave("100.65.0.1") and pools.gave("fd00:6::1")
    assert not pools.covers("192.0.2.7") and not pools.gave("198.51.100.1")
    pools.learn("a", ["192.0.2.7"])
    assert choose(pools, "a", has=("192.0.2.7",)) == ["100.65.0.1"]


def test_of_what_is_not_the_pools_nothing_is_learned() -> None:
    pools = Pools((V4,))
    pools.learn("a", ["192.0.2.1", "fd00:5::1", "100.65.0.7", ""])
    assert not any(pools.holds("a", text) for text in ("192.0.2.1", "fd00:5::1", "100.65.0.7", ""))
    assert not pools.covers("")


@given(st.lists(st.tuples(st.sampled_from(["take", "give", "keep"]), st.integers(0, 9))))
def test_nobody_shares_and_nothing_is_lost(steps: list[tuple[str, int]]) -> None:
    pool, held = Pool(V4), dict[str, str]()
    for what, number in steps:
        holder = f"h{number}"
        if what == "take" and holder not in held:
            address = pool.lowest_free()
            if not address:
                assert len(held) == len(pool) == 6
                continue
            free = [f"100.65.0.{n}" for n in range(1, 7) if f"100.65.0.{n}" not in held.values()]
            assert address == free[0]
            assert pool.take(address, holder)
            held[holder] = address
        elif what == "give" and holder in held:
            pool.give_back(held.pop(holder), holder)
        elif what == "keep" and holder in held:
            assert not pool.take(held[holder], "another")
