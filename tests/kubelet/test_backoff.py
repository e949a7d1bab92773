"""10 s, doubled up to 5 min, forgotten after 10 min; the first restart is immediate."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan.kubelet.backoff import FORGET_S, LIMIT_S, Backoff, duration


def test_the_delays_that_the_docs_promise() -> None:
    backoff, now_s, delays = Backoff(), 1000.0, []
    for _ in range(8):
        due_s = backoff.due_s(now_s)
        delays.append(due_s - now_s)
        backoff = backoff.after_retry(now_s, due_s)
        now_s = due_s + 1  # it fails again a second after each start
    assert delays == [0, 10, 20, 40, 80, 160, 300, 300]


def test_who_ran_for_ten_minutes_starts_from_the_beginning() -> None:
    waited = Backoff(LIMIT_S, updated_s=1000.0)
    long_s, short_s = 1000 + FORGET_S + 1, 1000 + FORGET_S
    assert waited.due_s(long_s) == long_s
    assert waited.after_retry(long_s, long_s) == Backoff(10.0, long_s)
    assert waited.due_s(short_s) == short_s + LIMIT_S
    assert waited.after_retry(short_s, short_s) == Backoff(LIMIT_S, short_s)


def test_a_node_may_have_a_limit_of_its_own() -> None:
    backoff, delays = Backoff(), []
    for limit_s in (1.0, 1.0, 15.0, 15.0):
        backoff = backoff.after_retry(1000.0, 1000.0, limit_s)
        delays.append(backoff.delay_s)
    assert delays == [1, 1, 2, 4]
    assert Backoff(10.0, 1000.0).after_retry(1000.0, 1000.0, 15.0).delay_s == 15


@given(st.lists(st.floats(0, 2000), max_size=20))
def test_a_wait_is_never_longer_than_the_limit_nor_in_the_past(runs_s: list[float]) -> None:
    backoff, now_s = Backoff(), 1e6
    for run_s in runs_s:
        failed_s = now_s + run_s
        now_s = backoff.due_s(failed_s)
        assert failed_s <= now_s <= failed_s + LIMIT_S
        backoff = backoff.after_retry(failed_s, now_s)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (9.6, "10s"),
        (60, "1m0s"),
        (80, "1m20s"),
        (300, "5m0s"),
        (3600, "1h0m0s"),
        (7325, "2h2m5s"),
    ],
)
def test_durations_read_as_gos(seconds: float, text: str) -> None:
    assert duration(seconds) == text
