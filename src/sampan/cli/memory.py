"""The process's memory: what becomes of it once all is up, and now and then."""

from __future__ import annotations

import asyncio
import ctypes
import gc

COLLECT_AFTER = (1000, 5, 2)
"""The collector's thresholds: the youngest objects, how often the young ones, how often all."""
TIDY_S = 300.0


def settle() -> None:
    """Takes what is there once all is up out of the collector's sight: modules and tables that stay anyway.

    A full collection then costs microseconds and not 5 ms, and can come often: a Pod that has gone leaves
    some hundred objects in cycles, which would otherwise add up to megabytes before the collector looks.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECT_AFTER)
    trim()


def trim() -> None:
    """Gives back to the system what the allocator holds for nobody. A millisecond."""
    libc = ctypes.CDLL(None)
    if hasattr(libc, "malloc_trim"):  # glibc's alone; others give back by themselves
        libc.malloc_trim(0)


async def tidy() -> None:
    """Gives back what one large answer or a thousand Pods needed for a moment; until cancelled."""
    while True:
        await asyncio.sleep(TIDY_S)
        await asyncio.to_thread(trim)
