"""Endpoints are shared out among the zones by their CPUs, or not at all."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan.controllers.endpointslice.hints import Unsafe, allocate, present, shares


def homes(**zones: int) -> dict[str, str]:
    return {f"{zone}{number:03}": zone for zone, count in zones.items() for number in range(count)}


def counts(zones: dict[str, str]) -> dict[str, int]:
    return dict(Counter(zones.values()))


EVEN = {"a": 0.5, "b": 0.5}
THIRDS = {"a": 1 / 3, "b": 1 / 3, "c": 1 / 3}


@pytest.mark.parametrize(
    ("ratios", "there", "result"),
    [
        (EVEN, {"a": 3, "b": 3}, {"a": 3, "b": 3}),
        (EVEN, {"a": 5, "b": 1}, {"a": 3, "b": 3}),
        (EVEN, {"a": 4, "b": 3}, {"a": 4, "b": 3}),
        (EVEN, {"a": 6}, {"a": 3, "b": 3}),
        ({"a": 0.75, "b": 0.25}, {"a": 4, "b": 4}, {"a": 6, "b": 2}),
        (THIRDS, {"a": 9}, {"a": 3, "b": 3, "c": 3}),
        # zone d has no node that sends traffic: what is there serves the others
        (EVEN, {"a": 2, "d": 2}, {"a": 2, "b": 2}),
    ],
)
def test_each_zone_has_its_share(
    ratios: dict[str, float], there: dict[str, int], result: dict[str, int]
) -> None:
    listed = homes(**there)
    assert counts(allocate(listed, shares(ratios, len(listed)), {})) == result


@pytest.mark.parametrize(
    ("ratios", "endpoints", "why"),
    [
        (EVEN, 1, r"Insufficient number of endpoints \(1 endpoints, 2 zones\)"),
        (EVEN, 0, r"Insufficient number of endpoints \(0 endpoints, 2 zones\)"),
        ({"a": 0.65, "b": 0.35}, 2, r"Unable to allocate minimum .* threshold \(2 endpoints, 2 zones\)"),
    ],
)
def test_no_hints_rather_than_an_overload(ratios: dict[str, float], endpoints: int, why: str) -> None:
    with pytest.raises(Unsafe, match=why):
        shares(ratios, endpoints)


def test_an_endpoint_that_is_nowhere_ends_it_for_all() -> None:
    with pytest.raises(Unsafe, match="do not have a zone"):
        allocate(homes(a=2, b=1) | {"lost": ""}, shares(EVEN, 4), {})


def test_hints_that_do_no_harm_are_kept() -> None:
    listed = homes(a=5, b=1)
    first = allocate(listed, shares(EVEN, 6), {})
    assert allocate(listed, shares(EVEN, 6), first) == first
    more = listed | {"b900": "b"}
    second = allocate(more, shares(EVEN, 7), first)
    assert {key: zone for key, zone in second.items() if key in first} == first


def test_hints_for_a_zone_that_has_gone_are_given_up() -> None:
    listed = homes(a=2, b=2)
    assert counts(allocate(listed, shares(EVEN, 4), dict.fromkeys(listed, "gone"))) == {"a": 2, "b": 2}


def test_if_what_is_kept_leaves_too_little_all_are_shared_out_anew() -> None:
    listed = homes(a=4, b=4, c=4)
    kept = {key: "b" if zone == "c" else zone for key, zone in listed.items()}
    result = counts(allocate(listed, shares(THIRDS, 12), kept))
    assert min(result.get(zone, 0) for zone in THIRDS) >= 3


def test_no_zone_lends_what_it_borrows() -> None:
    listed = homes(a=4, b=4)
    kept = listed | {"a000": "b", "b000": "a"}
    assert allocate(listed, shares(EVEN, 8), kept) == listed


@given(
    st.dictionaries(st.sampled_from("abc"), st.integers(1, 9), min_size=2),
    st.dictionaries(st.sampled_from("abcd"), st.integers(0, 12)),
    st.dictionaries(
        st.sampled_from([f"{z}{n:03}" for z in "abcd" for n in range(12)]), st.sampled_from("abcd")
    ),
)
def test_all_are_allocated_the_same_way_twice(
    cpus: dict[str, int], there: dict[str, int], kept: dict[str, str]
) -> None:
    ratios = {zone: cpu / sum(cpus.values()) for zone, cpu in cpus.items()}
    listed = homes(**there)
    try:
        wanted = shares(ratios, len(listed))
    except Unsafe:
        return
    first = allocate(listed, wanted, kept)
    assert first.keys() == listed.keys()
    assert allocate(dict(reversed(listed.items())), wanted, kept) == first


def test_hints_that_are_there() -> None:
    def endpoint(uid: str, *zones: str) -> dict[str, object]:
        hints = {"hints": {"forZones": [{"name": zone} for zone in zones]}} if zones else {}
        return {"addresses": ["10.0.0.1"], "targetRef": {"uid": uid}, **hints}

    pieces = [{"endpoints": [endpoint("u", "a"), endpoint("v"), endpoint("w", "a", "b")]}, {}]
    assert present(pieces) == {"u/10.0.0.1": "a"}
