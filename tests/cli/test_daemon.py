"""Into the background for real: what the child says reaches the parent, and it lives on."""

from __future__ import annotations

import os
import resource
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan.cli.daemon import Line, _listen, allow_open_files, detach, first_cause

Detach = Callable[..., str | None]


@pytest.fixture
def background(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Iterator[Detach]:
    """`detach` with a log; the child has the real output, as `up`'s has, and is waited for as init would."""

    def begin(work: Callable[[Line], int], show: Callable[[str], None] = lambda text: None) -> str | None:
        with capfd.disabled():
            return detach(tmp_path / "log", work, show)

    yield begin
    while True:
        try:
            os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        time.sleep(0.001)


def until(true: Callable[[], bool]) -> None:
    for _ in range(60_000):
        if true():
            return
        time.sleep(0.001)
    raise AssertionError("never came true")


def test_the_parent_leaves_when_the_child_is_ready_and_the_child_lives_on(
    background: Detach, tmp_path: Path
) -> None:
    shown: list[str] = []
    go, done = tmp_path / "go", tmp_path / "done"

    def work(line: Line) -> int:
        line.progress("making the node")
        line.progress("two\nlines")
        line.ready()
        until(go.exists)
        done.write_text(f"{os.getsid(0) == os.getpid()} {Path.cwd()}")
        return 0

    assert background(work, shown.append) is None
    assert shown == ["making the node", "two\nlines"]
    assert not done.exists()
    go.touch()
    until(lambda: done.exists() and bool(done.read_text()))
    assert done.read_text() == "True /"


def test_a_failure_is_the_answer(background: Detach) -> None:
    def work(line: Line) -> int:
        line.failed("no\r\nroom left")
        return 1

    assert background(work) == "no\r\nroom left"


def test_a_crash_is_told_and_its_traceback_logged(background: Detach, tmp_path: Path) -> None:
    def work(line: Line) -> int:
        raise ValueError("unthought of")

    log = tmp_path / "log"
    assert background(work) == "ValueError: unthought of"
    until(lambda: "unthought of" in log.read_text())
    assert "Traceback" in log.read_text()
    assert log.stat().st_mode & 0o777 == 0o600


def test_a_child_that_is_killed_before_it_is_ready_is_noticed(background: Detach) -> None:
    def work(line: Line) -> int:
        os.kill(os.getpid(), signal.SIGKILL)
        return 0

    assert background(work) == "it ended before it was ready"


def test_output_is_appended_to_the_log(background: Detach, tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("from before\n")

    def work(line: Line) -> int:
        os.write(1, b"out\n")
        sys.stderr.write("err\n")
        line.failed("")
        return 0

    background(work)
    until(lambda: "err" in log.read_text())
    assert log.read_text().splitlines()[0] == "from before"
    assert {"out", "err"} < set(log.read_text().splitlines())


def test_a_parent_that_has_left_is_no_error() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    line = Line(writing)
    for _ in range(2):
        line.progress("anybody there?")
    line.ready()
    with pytest.raises(OSError):
        os.fstat(writing)


def test_in_the_foreground_there_is_nobody_to_tell() -> None:
    line = Line(None)
    line.progress("x")
    line.ready()
    line.failed("x")


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\v"))), st.binary())
def test_every_text_arrives_as_it_was_sent(texts: list[str], name: bytes) -> None:
    texts.append(os.fsdecode(name.replace(b"\v", b"")))
    reading, writing = os.pipe()
    line = Line(writing)
    shown: list[str] = []
    for text in texts:
        line.progress(text)
    line.failed("end")
    assert _listen(reading, shown.append) == "end"
    assert shown == texts


def test_a_shells_limit_of_open_files_is_not_the_clusters() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(256, hard), hard))
        allow_open_files()
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (hard, hard)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_what_a_part_died_of_is_dug_out_of_the_groups_it_came_in() -> None:
    cause = OSError("no room")
    assert first_cause(ExceptionGroup("x", [ExceptionGroup("y", [cause]), ValueError("later")])) is cause
    assert first_cause(cause) is cause
