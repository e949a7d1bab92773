"""Times as the API writes them: RFC 3339, UTC, whole seconds (`Time`) or microseconds (`MicroTime`)."""

from __future__ import annotations

import time
from datetime import UTC, datetime


def now() -> str:
    return format_time(time.time())


def now_micro() -> str:
    return format_micro_time(time.time())


def format_time(epoch_s: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(epoch_s))


def format_micro_time(epoch_s: float) -> str:
    # Rounded: a float seldom is the microsecond it was read from, but always next to it.
    whole, micro = divmod(round(epoch_s * 1e6), 10**6)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(whole))}.{micro:06d}Z"


def parse_time(text: str) -> float:
    """Seconds since the epoch of an RFC 3339 time with or without fraction; raises ValueError."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return moment.timestamp()
