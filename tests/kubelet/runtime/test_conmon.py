from __future__ import annotations

from pathlib import Path

import pytest

from sampan.kubelet.runtime.conmon import Command, flags, parse_sync, plain


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        (b'{"data": 4711}\n', (4711, "")),
        (b'{"data": -1, "message": "open `/x`: No such file or directory\\n"}\n',
         (-1, "open `/x`: No such file or directory")),
        (b'{"pid": 12}\n', (12, "")),
        (b"", (-1, "")),
    ],
)  # fmt: skip
def test_what_conmon_answers(line: bytes, answer: tuple[int, str]) -> None:
    assert parse_sync(line) == answer


def test_the_command_line() -> None:
    command = Command("/bin/conmon", "/bin/crun", Path("/s"), Path("/e"))
    assert command.argv("c1", "web", Path("/b"), "/log", ["-i"]) == [
        *("/bin/conmon", "--api-version", "1", "-c", "c1", "-u", "c1", "-n", "web"),
        *("-r", "/bin/crun", "--runtime-arg=--root=/s", "-b", "/b", "-0", "/b/persist"),
        *("-p", "/b/pidfile", "-P", "/b/conmon.pid", "--exit-dir", "/e", "--full-attach"),
        *("--no-sync-log", "--log-level", "warning", "-l", "k8s-file:/log", "-i"),
    ]


def test_stdin_and_terminal() -> None:
    assert flags(stdin=False, stdin_once=False, tty=False) == []
    assert flags(stdin=True, stdin_once=False, tty=True) == ["-i", "--leave-stdin-open", "-t"]
    assert flags(stdin=True, stdin_once=True, tty=False) == ["-i"]


def test_of_a_logger_only_the_message_is_told() -> None:
    said = 'time="2026-01-02T03:04:05Z" level=error msg="runc create failed: exec: \\"/x\\": no such file"\n'
    assert plain(said) == 'runc create failed: exec: "/x": no such file'
    assert plain("open `/x`: No such file\n") == "open `/x`: No such file"
