"""Signals by their names, as images and Pods write them."""

from __future__ import annotations

import signal


def signal_number(name: str) -> int:
    """`SIGQUIT`, `QUIT` or `3`; SIGTERM for what is no signal."""
    if name.isdigit():
        return int(name)
    wanted = name if name.startswith("SIG") else f"SIG{name}"
    if wanted.startswith("SIGRTMIN+"):
        return int(signal.SIGRTMIN) + int(wanted.partition("+")[2])
    if wanted.startswith("SIGRTMAX-"):
        return int(signal.SIGRTMAX) - int(wanted.partition("-")[2])
    return int(getattr(signal, wanted, signal.SIGTERM))
