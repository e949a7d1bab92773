"""Times on the wire are what Go's clients write and read."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan.api import clock

MOMENTS = st.datetimes(datetime(1970, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))


@pytest.mark.parametrize(
    ("text", "epoch_s"),
    [
        ("1970-01-01T00:00:00Z", 0.0),
        ("2026-01-02T03:04:05Z", 1767323045.0),
        ("2026-01-02T03:04:05.25Z", 1767323045.25),
        ("2026-01-02T05:04:05+02:00", 1767323045.0),
        ("2026-01-02T03:04:05.123456789Z", 1767323045.123456),
    ],
)
def test_every_form_of_rfc_3339_is_read(text: str, epoch_s: float) -> None:
    assert clock.parse_time(text) == pytest.approx(epoch_s, abs=1e-6)


@pytest.mark.parametrize("text", ["", "soon", "2026-13-01T00:00:00Z", "1767323045"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        clock.parse_time(text)


def test_a_time_has_whole_seconds_and_is_never_in_the_future() -> None:
    assert clock.format_time(1767323045.999) == "2026-01-02T03:04:05Z"


def test_a_micro_time_has_six_digits_always() -> None:
    assert clock.format_micro_time(1767323045) == "2026-01-02T03:04:05.000000Z"
    assert clock.format_micro_time(1767323045.000001) == "2026-01-02T03:04:05.000001Z"
    assert clock.format_micro_time(1767323045.9999999) == "2026-01-02T03:04:06.000000Z"


@given(MOMENTS)
def test_a_micro_time_comes_back_as_it_was(moment: datetime) -> None:
    text = moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    assert clock.format_micro_time(clock.parse_time(text)) == text


@given(MOMENTS, MOMENTS)
def test_texts_sort_as_times_do(one: datetime, other: datetime) -> None:
    texts = [clock.format_micro_time(moment.timestamp()) for moment in (one, other)]
    assert (texts[0] < texts[1]) == (one < other)
