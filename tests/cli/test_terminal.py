"""How numbers and tables read, and what a terminal sees of progress."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan.cli.terminal import Progress, size, table


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (999.7, "1.0 kB"),
        (1000, "1.0 kB"),
        (5_420_000, "5.4 MB"),
        (999_949, "999.9 kB"),
        (999_950, "1.0 MB"),
        (999_999_999, "1.0 GB"),
        (2_500_000_000_000, "2.5 TB"),
        (2_500_000_000_000_000, "2500.0 TB"),
    ],
)
def test_sizes_have_decimal_units(count: float, text: str) -> None:
    assert size(count) == text


@given(st.integers(0, 10**14))
def test_a_size_never_has_four_digits_before_the_point(count: int) -> None:
    assert len(size(count).split()[0].split(".")[0]) <= 3


def test_columns_are_as_wide_as_their_widest_cell_and_lines_end_without_blanks() -> None:
    rows = [("IMAGE", "SIZE", ""), ("docker.io/library/nginx:1", "5 MB", ""), ("b", "1.0 GB", "x")]
    assert table(rows).splitlines() == [
        "IMAGE                       SIZE",
        "docker.io/library/nginx:1   5 MB",
        "b                           1.0 GB   x",
    ]


@pytest.mark.parametrize(
    ("terminal", "said"),
    [(False, "one\ntwo\n"), (True, "\r\x1b[Kone ...\r\x1b[Ktwo ...\r\x1b[K")],
)
def test_progress_rewrites_one_line_on_a_terminal_and_keeps_out_of_the_output(
    terminal: bool, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
    progress = Progress()
    progress.show("one")
    progress.show("two")
    progress.done("up")
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("up\n", said)
    assert progress.elapsed_s() >= 0
