"""Thresholds as operators write them."""

from __future__ import annotations

import pytest

from sampan.kubelet.eviction.thresholds import (
    EvictionConfig,
    Threshold,
    ThresholdError,
    configured,
    parse,
)


def test_amounts_and_percentages() -> None:
    memory, disk = parse({"memory.available": "100Mi", "nodefs.available": "10%"})
    assert memory.of(1 << 40) == 100 << 20
    assert disk.of(1000) == 100
    assert (memory.text, disk.text) == ("104857600", "10%")


def test_nothing_and_everything_switch_off() -> None:
    assert parse({"memory.available": "0%", "nodefs.available": "100%", "pid.available": "0"}) == []


def test_what_is_got_back_goes_beyond_the_threshold() -> None:
    config = EvictionConfig(
        hard={"memory.available": "100Mi"},
        soft={"memory.available": "200Mi"},
        soft_grace_s={"memory.available": 90},
        minimum_reclaim={"memory.available": "10Mi"},
    )
    hard, soft = configured(config)
    assert (hard.grace_s, soft.grace_s) == (0, 90)
    assert hard.reclaimed_at(1 << 30) == 110 << 20
    assert Threshold("nodefs.available", percent=10, minimum_reclaim=(0, 5)).reclaimed_at(100) == 15


@pytest.mark.parametrize(
    ("values", "grace_s", "words"),
    [
        ({"memory.free": "1"}, None, 'unsupported eviction signal "memory.free"'),
        ({"memory.available": "x"}, None, "x is no quantity"),
        ({"memory.available": "-1"}, None, "must be positive"),
        ({"memory.available": "101%"}, None, "not between 0% and 100%"),
        ({"memory.available": "1"}, {}, "grace period must be specified"),
    ],
)
def test_mistakes_are_named(values: dict[str, str], grace_s: dict[str, float] | None, words: str) -> None:
    with pytest.raises(ThresholdError, match=words):
        parse(values, grace_s)
