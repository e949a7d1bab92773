from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan.api import scalars

LAYOUT = "2006-01-02T15:04:05Z07:00"


@pytest.mark.parametrize(
    ("text", "position"),
    [
        ("%%%", 0),
        ("YWI", 0),
        ("YWI=\nYQ==", 5),
        ("YQ=", 3),
        ("=", 0),
        ("YWJj!", 4),
        ("YQ==Y", 4),
        ("Y=Q=", 1),
    ],
)
def test_bad_base64_is_placed_where_go_stops(text: str, position: int) -> None:
    with pytest.raises(ValueError, match=f"^illegal base64 data at input byte {position}$"):
        scalars.read_bytes(text)


def test_line_breaks_in_base64_are_dropped() -> None:
    assert scalars.read_bytes("YW\nI=\r\n") == "YWI="


@given(st.binary())
def test_good_base64_stays_as_it_is(data: bytes) -> None:
    text = base64.b64encode(data).decode()
    assert scalars.read_bytes(text) == text


@given(st.text(alphabet="abcAB+/=\n\r %", max_size=12))
def test_any_text_is_base64_or_refused(text: str) -> None:
    try:
        base64.b64decode(scalars.read_bytes(text), validate=True)
    except ValueError as error:
        assert str(error).startswith("illegal base64 data at input byte ")


@pytest.mark.parametrize(
    ("text", "stored"),
    [
        ("2020-01-01T00:00:00Z", "2020-01-01T00:00:00Z"),
        ("2020-01-01T00:00:00.123+01:00", "2019-12-31T23:00:00Z"),
        ("2020-02-29T23:59:59-00:30", "2020-03-01T00:29:59Z"),
    ],
)
def test_times_are_stored_in_utc_and_seconds(text: str, stored: str) -> None:
    assert scalars.read_time(text) == stored


def test_micro_times_keep_six_digits() -> None:
    assert scalars.read_micro_time("2020-01-01T00:00:00.1234567Z") == "2020-01-01T00:00:00.123456Z"
    assert scalars.read_micro_time("2020-01-01T00:00:00Z") == "2020-01-01T00:00:00.000000Z"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("x", f'parsing time "x" as "{LAYOUT}": cannot parse "x" as "2006"'),
        ("", f'parsing time "" as "{LAYOUT}": cannot parse "" as "2006"'),
        ("2020-13-01T00:00:00Z", 'parsing time "2020-13-01T00:00:00Z": month out of range'),
        ("2020-02-30T00:00:00Z", 'parsing time "2020-02-30T00:00:00Z": day out of range'),
        ("2020-02-20", f'parsing time "2020-02-20" as "{LAYOUT}": cannot parse "" as "T"'),
        (
            "2020-02-20T00:00:00",
            f'parsing time "2020-02-20T00:00:00" as "{LAYOUT}": cannot parse "" as "Z07:00"',
        ),
        (
            "2020-02-20 00:00:00Z",
            f'parsing time "2020-02-20 00:00:00Z" as "{LAYOUT}": cannot parse " 00:00:00Z" as "T"',
        ),
        ("2020-02-20T00:00:00Zx", 'parsing time "2020-02-20T00:00:00Zx": extra text: "x"'),
        ("9999-12-31T23:59:59-23:00", 'parsing time "9999-12-31T23:59:59-23:00": day out of range'),
    ],
)
def test_bad_times_are_refused_in_gos_words(text: str, complaint: str) -> None:
    with pytest.raises(ValueError) as caught:
        scalars.read_time(text)
    assert str(caught.value) == complaint


@pytest.mark.parametrize("value", [True, 1.0, 2**31, -(2**31) - 1, "1", None, [], {}])
def test_what_is_no_int32(value: object) -> None:
    with pytest.raises(scalars.WrongType, match="int32"):
        scalars.read_int32(value)


def test_bounds_of_integers() -> None:
    assert scalars.read_int32(2**31 - 1) == 2**31 - 1
    assert scalars.read_int64(-(2**63)) == -(2**63)
    with pytest.raises(scalars.WrongType, match="int64"):
        scalars.read_int64(2**63)


def test_int_or_string() -> None:
    assert scalars.read_int_or_string("25%") == "25%"
    assert scalars.read_int_or_string(3) == 3
    for wrong in (True, 1.5, {}, 2**40):
        with pytest.raises(scalars.WrongType, match="int32"):
            scalars.read_int_or_string(wrong)


def test_quantities_become_canonical() -> None:
    assert scalars.read_quantity("1000m") == "1"
    assert scalars.read_quantity(0.5) == "500m"
    for wrong in ("abc", "", True, {}):
        with pytest.raises(ValueError, match="quantities must match the regular expression"):
            scalars.read_quantity(wrong)
