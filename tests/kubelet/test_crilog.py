"""CRI's log lines as `kubectl logs` shows them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan.kubelet.crilog import STREAMS, Entry, Printer, parse, stamp

T1, T2 = b"2026-01-02T03:04:05.000000001+00:00", b"2026-01-02T03:04:06.000000000+00:00"


@pytest.mark.parametrize(
    ("line", "entry"),
    [
        (T1 + b" stdout F the text", Entry(T1, b"stdout", False, b"the text")),
        (T1 + b" stderr P  part ", Entry(T1, b"stderr", True, b" part ")),
        (T1 + b" stdout F ", Entry(T1, b"stdout", False, b"")),
        (T1 + b" stdout F", Entry(T1, b"stdout", False, b"")),
        (T1 + b" stdout F:tag x", Entry(T1, b"stdout", False, b"x")),
        (T1 + b" stdout", None),
        (T1 + b" stdout X text", None),
        (b"", None),
        (b"\0" * 40, None),
    ],
)
def test_lines(line: bytes, entry: Entry | None) -> None:
    assert parse(line) == entry


LOG = [
    T1 + b" stdout F one",
    T1 + b" stderr F bad",
    T1 + b" stdout P two ",
    b"torn",
    T2 + b" stdout F parts",
    T2 + b" stdout P unfinished",
]


@pytest.mark.parametrize(
    ("printer", "text"),
    [
        (Printer(), b"one\nbad\ntwo parts\nunfinished"),
        (Printer(streams=STREAMS["Stdout"]), b"one\ntwo parts\nunfinished"),
        (Printer(streams=STREAMS["Stderr"]), b"bad\n"),
        (Printer(since=stamp(1767323046)), b"parts\nunfinished"),
        (Printer(left=9), b"one\nbad\nt"),
        (Printer(left=0), b""),
    ],
)
def test_what_is_printed(printer: Printer, text: bytes) -> None:
    assert printer.print(LOG) == text


def test_a_line_in_parts_has_one_timestamp() -> None:
    assert Printer(timestamps=True, streams=STREAMS["Stdout"]).print(LOG).splitlines() == [
        b"2026-01-02T03:04:05.000000001Z one",
        b"2026-01-02T03:04:05.000000001Z two parts",
        b"2026-01-02T03:04:06.000000000Z unfinished",
    ]


@given(st.integers(0, len(LOG)), st.booleans(), st.none() | st.integers(0, 40))
def test_it_is_the_same_however_the_lines_arrive(cut: int, timestamps: bool, limit: int | None) -> None:
    whole, twice = Printer(timestamps=timestamps, left=limit), Printer(timestamps=timestamps, left=limit)
    text = whole.print(LOG)
    assert twice.print(LOG[:cut]) + twice.print(LOG[cut:]) == text
    assert limit is None or (len(text) <= limit and whole.full == (len(text) == limit))


@given(st.floats(0, 4e9), st.floats(0, 4e9))
def test_stamps_compare_as_times_do(one: float, other: float) -> None:
    if stamp(one) < stamp(other):
        assert one < other
    assert len(stamp(one)) == 29
