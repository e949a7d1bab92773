"""A container's last words."""

from __future__ import annotations

from pathlib import Path

import pytest

from sampan.kubelet.runtime.contract import Exit
from sampan.kubelet.termination import LOG_LIMIT, MESSAGE_LIMIT, message, prepare

FALLBACK = {"terminationMessagePolicy": "FallbackToLogsOnError"}


@pytest.mark.parametrize(
    ("container", "words", "code", "expected"),
    [
        ({}, "words", 1, "words"),
        ({}, "words", 0, "words"),
        ({}, "", 1, ""),
        ({"terminationMessagePolicy": "File"}, "", 1, ""),
        (FALLBACK, "words", 1, "words"),
        (FALLBACK, "", 1, "from the log\n"),
        (FALLBACK, "", 0, ""),
        (FALLBACK, None, 137, "from the log\n"),
        ({}, None, 1, ""),
    ],
)
def test_the_file_speaks_first_and_the_log_of_failures_only(
    tmp_path: Path, container: dict[str, str], words: str | None, code: int, expected: str
) -> None:
    file, log = tmp_path / "message", tmp_path / "0.log"
    log.write_text("2026-01-02T03:04:05.000000001+00:00 stdout F from the log\n")
    if words is not None:
        file.write_text(words)
    assert message(container, file, log, Exit(code, 0.0)) == expected


def test_long_words_are_cut_at_their_end_and_a_long_log_at_its_beginning(tmp_path: Path) -> None:
    file, log = tmp_path / "message", tmp_path / "0.log"
    file.write_bytes(b"a" * MESSAGE_LIMIT + b"b")
    assert message({}, file, log, Exit(1, 0.0)) == "a" * MESSAGE_LIMIT
    file.write_bytes(b"")
    line = b"2026-01-02T03:04:05.000000001+00:00 stdout F " + b"x" * 99 + b"%d\n"
    log.write_bytes(b"".join(line % (number % 10) for number in range(100)))
    found = message(FALLBACK, file, log, Exit(1, 0.0))
    assert len(found) == LOG_LIMIT and found.endswith("x9\n")


def test_bytes_that_are_no_text_do_not_get_lost(tmp_path: Path) -> None:
    file = tmp_path / "message"
    file.write_bytes(b"caf\xe9!")
    assert message({}, file, tmp_path / "0.log", Exit(1, 0.0)) == "caf\N{REPLACEMENT CHARACTER}!"


def test_any_user_of_the_container_may_write_and_what_is_there_stays(tmp_path: Path) -> None:
    file = tmp_path / "c" / "0.message"
    prepare(file)
    assert file.stat().st_mode & 0o777 == 0o666
    file.write_text("words")
    prepare(file)
    assert file.read_text() == "words"
