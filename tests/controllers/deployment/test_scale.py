"""The arithmetic of rollouts, in tables, and what no step may ever break."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan.controllers.deployment.scale import (
    Size,
    Strategy,
    new_size,
    proportional,
    shrink_old,
    strategy_of,
)


@pytest.mark.parametrize(
    ("replicas", "rolling", "expected"),
    [
        (10, {}, Strategy(10, 3, 2)),  # 25 %: surge up, unavailable down
        (3, {}, Strategy(3, 1, 0)),
        (1, {}, Strategy(1, 1, 0)),
        (3, {"maxSurge": 0, "maxUnavailable": "10%"}, Strategy(3, 0, 1)),  # both 0 would stand still
        (2, {"maxSurge": 1, "maxUnavailable": 5}, Strategy(2, 1, 2)),
        (0, {}, Strategy(0, 0, 0)),
    ],
)
def test_surge_rounds_up_and_unavailable_down(replicas: int, rolling: dict, expected: Strategy) -> None:
    spec = {"replicas": replicas, "strategy": {"type": "RollingUpdate", "rollingUpdate": rolling}}
    assert strategy_of(spec) == expected


@pytest.mark.parametrize(
    ("strategy", "new", "total", "expected"),
    [
        (Strategy(3, 1, 0), 0, 0, 3),
        (Strategy(3, 1, 0), 0, 3, 1),
        (Strategy(3, 1, 0), 1, 4, 1),
        (Strategy(3, 1, 0), 1, 3, 2),
        (Strategy(3, 1, 0), 5, 5, 3),
        (Strategy(3, 0, 0, recreate=True), 0, 3, 3),
    ],
)
def test_new_set_grows_into_the_room_there_is(
    strategy: Strategy, new: int, total: int, expected: int
) -> None:
    assert new_size(strategy, new, total) == expected


@pytest.mark.parametrize(
    ("strategy", "old", "new", "expected"),
    [
        (Strategy(3, 1, 0), [Size("a", 3, 3)], Size("n", 1, 0), {}),
        (Strategy(3, 1, 0), [Size("a", 3, 3)], Size("n", 1, 1), {"a": 2}),
        (Strategy(10, 3, 2), [Size("a", 10, 10)], Size("n", 3, 0), {"a": 8}),
        # what is broken goes first, even from a younger set
        (Strategy(3, 1, 0), [Size("a", 2, 2), Size("b", 1, 0)], Size("n", 1, 1), {"b": 0}),
        (Strategy(1, 1, 0), [Size("a", 1, 1)], Size("n", 1, 1), {"a": 0}),
    ],
)
def test_old_sets_shrink(strategy: Strategy, old: list[Size], new: Size, expected: dict[str, int]) -> None:
    assert shrink_old(strategy, old, new) == expected


def test_scaling_in_the_middle_of_a_rollout_is_shared_out() -> None:
    """The example of the conformance suite: 8 + 5 of 10 become 20 + 13 of 30."""
    strategy = strategy_of(
        {"replicas": 30, "strategy": {"rollingUpdate": {"maxSurge": 3, "maxUnavailable": 2}}}
    )
    sizes = [Size("old", 8, 8, 13), Size("new", 5, 0, 13)]
    assert proportional(strategy, sizes, 10) == {"old": 20, "new": 13}


def test_scaling_to_nothing_takes_all() -> None:
    sizes = [Size("old", 8, 8, 13), Size("new", 5, 0, 13)]
    assert proportional(Strategy(0, 0, 0), sizes, 10) == {"old": 0, "new": 0}


strategies = st.builds(
    lambda desired, surge, gone: strategy_of(
        {
            "replicas": desired,
            "strategy": {"rollingUpdate": {"maxSurge": surge, "maxUnavailable": gone}},
        }
    ),
    st.integers(0, 30),
    st.integers(0, 10) | st.integers(0, 100).map("{}%".format),
    st.integers(0, 10) | st.integers(0, 100).map("{}%".format),
)
counts = st.integers(0, 20)


@given(strategies, st.lists(st.tuples(counts, counts), max_size=4), counts, counts)
def test_shrinking_takes_no_available_pod_below_the_minimum(
    strategy: Strategy, olds: list[tuple[int, int]], replicas: int, available: int
) -> None:
    old = [Size(str(n), max(pair), min(pair)) for n, pair in enumerate(olds)]
    new = Size("n", max(replicas, available), min(replicas, available))
    after = shrink_old(strategy, old, new)
    assert all(0 <= after[size.name] < size.replicas for size in old if size.name in after)
    left = new.available + sum(min(size.available, after.get(size.name, size.replicas)) for size in old)
    before = new.available + sum(size.available for size in old)
    assert left >= min(before, strategy.least_available)


@given(strategies, st.lists(counts.filter(bool), min_size=2, max_size=4), st.integers(1, 40))
def test_proportional_scaling_never_asks_for_more_than_allowed(
    strategy: Strategy, replicas: list[int], sized_for: int
) -> None:
    sizes = [Size(str(n), count, count, sized_for) for n, count in enumerate(replicas)]
    after = proportional(strategy, sizes, 0)
    assert sum(after.values()) <= max(strategy.most, sum(replicas))
    assert all(count >= 0 for count in after.values())


@given(strategies, counts)
def test_a_rollout_ends(strategy: Strategy, start: int) -> None:
    """Every Pod asked for becomes available between two steps: the new set has all in the end."""
    old, new = start, 0
    for _ in range(200):
        wanted = new_size(strategy, new, old + new)
        if wanted != new:
            new = wanted
            assert old + new <= max(strategy.most, start)
            continue
        after = shrink_old(strategy, [Size("o", old, old)] if old else [], Size("n", new, new))
        if not after:
            break
        old = after["o"]
    assert (old, new) == (0, strategy.desired)
