"""Signals by name."""

import signal

import pytest

from sampan.kubelet.stopsignal import signal_number


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("SIGQUIT", signal.SIGQUIT),
        ("QUIT", signal.SIGQUIT),
        ("3", 3),
        ("SIGRTMIN+3", signal.SIGRTMIN + 3),
        ("SIGRTMAX-1", signal.SIGRTMAX - 1),
        ("SIGRTMAX", signal.SIGRTMAX),
        ("NONSENSE", signal.SIGTERM),
    ],
)
def test_numbers(name: str, wanted: int) -> None:
    assert signal_number(name) == wanted
