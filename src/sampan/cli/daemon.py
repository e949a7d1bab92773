"""Going into the background, with a line home.

The parent stays until the child says it is ready or why it is not; the child lives on in a session of its
own. A plain fork, before any thread or event loop exists, so that nothing needs to be imported twice.
"""

from __future__ import annotations

import os
import resource
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

READY = "ready"
FAILED = "failed"
PROGRESS = "progress"


class Line:
    """The child's end: one message a line, `KIND text`. A parent that has left is no error."""

    def __init__(self, descriptor: int | None) -> None:
        self._descriptor = descriptor

    def progress(self, text: str) -> None:
        self._send(PROGRESS, text)

    def ready(self) -> None:
        self._send(READY, "")
        self._close()

    def failed(self, text: str) -> None:
        self._send(FAILED, text)
        self._close()

    def _send(self, kind: str, text: str) -> None:
        if self._descriptor is None:
            return
        message = f"{kind} {text}".replace("\n", "\v") + "\n"
        try:
            os.write(self._descriptor, message.encode(errors="surrogateescape"))
        except BrokenPipeError:
            self._close()

    def _close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def detach(log: Path, work: Callable[[Line], int], show: Callable[[str], None]) -> str | None:
    """Runs `work` in the background, its output appended to `log`.

    Returns in the parent only: None once the child is ready, or the text of its failure.
    """
    reading, writing = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    if os.fork() == 0:
        os.close(reading)
        _become_daemon(log, work, writing)
    os.close(writing)
    return _listen(reading, show)


def _listen(reading: int, show: Callable[[str], None]) -> str | None:
    # Only a newline ends a message: texts of other programs may hold any other end of line, and file names.
    with os.fdopen(reading, encoding="utf-8", errors="surrogateescape", newline="\n") as lines:
        for line in lines:
            kind, _, text = line.rstrip("\n").replace("\v", "\n").partition(" ")
            if kind == READY:
                return None
            if kind == FAILED:
                return text
            show(text)
    return "it ended before it was ready"


def _become_daemon(log: Path, work: Callable[[Line], int], writing: int) -> NoReturn:
    os.setsid()
    nothing = os.open(os.devnull, os.O_RDONLY)
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(nothing, 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.close(nothing)
    os.close(output)
    os.chdir("/")
    os.umask(0o022)
    line, code = Line(writing), 1
    try:
        code = work(line)
    except BaseException as error:
        # Nobody is above this frame: what is not said here is never heard of.
        traceback.print_exc()
        line.failed(f"{type(error).__name__}: {error}")
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def allow_open_files() -> None:
    """As many as there may be: a thousand Pods' pidfds and streams are more than a shell's usual 1024."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def first_cause(error: BaseException) -> BaseException:
    """The first real cause within nested exception groups."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
