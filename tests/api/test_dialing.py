"""Failed connections in Go's words."""

from __future__ import annotations

import errno

import pytest

from sampan.api.dialing import dial_error


@pytest.mark.parametrize(
    ("host", "number", "text"),
    [
        ("10.1.0.5", errno.ECONNREFUSED, "dial tcp 10.1.0.5:80: connect: connection refused"),
        ("10.1.0.5", errno.EHOSTUNREACH, "dial tcp 10.1.0.5:80: connect: no route to host"),
        ("fd00::5", errno.ETIMEDOUT, "dial tcp [fd00::5]:80: connect: connection timed out"),
    ],
)
def test_a_connection_that_fails_is_worded_as_gos(host: str, number: int, text: str) -> None:
    assert dial_error(host, 80, OSError(number, "")) == text


def test_silence_is_a_timeout() -> None:
    assert dial_error("10.1.0.5", 80, TimeoutError()) == "dial tcp 10.1.0.5:80: i/o timeout"
