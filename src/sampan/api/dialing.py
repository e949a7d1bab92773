"""Addresses and failed connections in the words of Go's `net` package, which users search for. Pure."""

from __future__ import annotations

import os


def address_of(host: str, port: int) -> str:
    """`10.1.0.5:80`, `[fd00::5]:80`."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def dial_error(host: str, port: int, error: Exception) -> str:
    """`dial tcp 10.1.0.5:80: connect: connection refused`."""
    if isinstance(error, TimeoutError) and not error.errno:
        return f"dial tcp {address_of(host, port)}: i/o timeout"
    if isinstance(error, OSError):
        text = os.strerror(error.errno).lower() if error.errno else str(error)
        return f"dial tcp {address_of(host, port)}: connect: {text}"
    return f"dial tcp: {error}"
