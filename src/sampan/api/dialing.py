"""Connections to servers of Pods: addresses and failures in the words of Go's `net` package, which users
search for; and TLS with those who have certificates of their own. Touches no network itself."""

from __future__ import annotations

import os
import ssl
from functools import cache


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


@cache
def unverified_tls() -> ssl.SSLContext:
    """Probes and proxies ask whether something answers, not who it is: so does upstream."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
